"""Buttons that open a lesson elsewhere, ready to run: in Colab, and on Binder.

Both fetch it from GitHub, so there are buttons only where REPO_URL says that the repository is
there. What Binder installs is in `.binder/`. Colab wants a notebook whose first cell fetches the
package: `notebooks/colab.py` writes them into `colab/`, and without them there is no such button.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
BRANCH = "main"


def addresses(repo_url: str | None, notebook: str, root: Path = ROOT) -> dict[str, str]:
    """Words of a button -> where it leads; none if the repository is not on GitHub."""
    found, places = GITHUB.fullmatch(repo_url or ""), {}
    if found is None:
        return places
    if (root / "colab" / notebook).exists():
        copy = f"{found[1]}/blob/{BRANCH}/colab/{notebook}"
        places["Open in Colab"] = f"https://colab.research.google.com/github/{copy}"
    copy = f"my_lessons%2F{notebook}"
    places["Open on Binder"] = f"https://mybinder.org/v2/gh/{found[1]}/{BRANCH}?labpath={copy}"
    return places


def on_page_content(html, page, config, **_):
    """Puts the buttons under the heading of a lesson."""
    name = page.file.src_uri.rpartition("/")[2]
    if not name.endswith(".ipynb"):
        return html
    buttons = " ".join(
        f'<a class="md-button" href="{address}">{words}</a>'
        for words, address in addresses(config.repo_url, name).items()
    )
    return html.replace("</h1>", f"</h1><p>{buttons}</p>", 1) if buttons else html
