"""Adds benchmarks/results/* to the site: a page each, and a list of them for `{{ results }}`.

A benchmark that writes JSON and is known to `benchmark_pages.py` is drawn; of the others a `.md`
file is a page as it is, a `.json` file becomes tables, a `.txt` file blocks of text. Nothing is
measured here.
"""

import json
import re
from pathlib import Path

from benchmark_pages import PAGES, table
from mkdocs.structure.files import File

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = BENCHMARKS / "results"
RENDERERS = {}


def on_config(config):
    """Puts the pages into the navigation, after the overview."""
    section = next(entry["Measured"] for entry in config.nav if "Measured" in entry)
    section += [page_name(path) for path in result_files()]
    return config


def on_files(files, config):
    """Adds the generated pages."""
    for path in result_files():
        files.append(File.generated(config, page_name(path), content=content(path)))
    for path in RESULTS.glob("*.svg"):  # pictures that a page shows
        files.append(File.generated(config, f"measured/{path.name}", content=path.read_bytes()))
    return files


def on_page_markdown(markdown, **_):
    """Lists the results that there are."""
    if "{{ results }}" not in markdown:
        return None
    rows = [
        f"| [{title(path)}]({Path(page_name(path)).name}) | {summary(path)} |"
        for path in result_files()
    ]
    table = "\n".join(['<div class="stack" markdown>\n', "| | |", "|---|---|", *rows, "\n</div>"])
    return markdown.replace("{{ results }}", table if rows else "Nothing was measured yet.")


def result_files():
    """Each result once: drawn if it can be, `.md` before `.json` before `.txt`."""
    chosen = {name: RESULTS / f"{name}.json" for name in PAGES}
    chosen = {name: path for name, path in chosen.items() if path.exists()}
    for suffix in (".md", ".json", ".txt"):
        for path in sorted(RESULTS.glob(f"*{suffix}")):
            chosen.setdefault(path.stem, path)
    return sorted(chosen.values(), key=lambda path: path.stem)


def page_name(path):
    return f"measured/{path.stem}.md"


def title(path):
    return content(path).split("\n", 1)[0].removeprefix("# ")


def summary(path):
    """The first sentence of the page."""
    text = re.sub(r"^```.*?^```", "", content(path), flags=re.DOTALL | re.MULTILINE)
    paragraphs = [p.strip() for p in text.split("\n\n")[1:]]
    words = [" ".join(p.split()) for p in paragraphs if p and p[0] not in "#|<-"]
    return re.split(r"(?<=\.) (?=[A-Z])", words[0])[0].replace("|", "/") if words else ""


def content(path):
    """The page; it says which command makes it anew, if the file itself does not."""
    drawn = PAGES.get(path.stem) if path.suffix == ".json" else None
    text = (
        drawn(json.loads(path.read_text("utf-8"))) if drawn else RENDERERS[path.suffix](path)
    ).rstrip()
    if "python benchmarks/" not in text and (BENCHMARKS / f"{path.stem}.py").exists():
        text += f"\n\nMeasured with `python benchmarks/{path.stem}.py`."
    return text + "\n"


def _markdown(path):
    return path.read_text("utf-8")


def _text(path):
    """A heading for every line that begins like one, and blocks of text between."""
    first, *rest = path.read_text("utf-8").strip().split("\n")
    parts = [f"# {first.lstrip('# ')}" if first.startswith("#") else f"# {_name(path)}\n\n{first}"]
    for section in re.split(r"^(?=## )", "\n".join(rest), flags=re.MULTILINE):
        heading, _, body = (
            section.partition("\n") if section.startswith("## ") else ("", "", section)
        )
        parts += [heading] * bool(heading)
        parts += [f"```text\n{body.strip()}\n```"] * bool(body.strip())
    return "\n\n".join(parts)


def _json(path):
    parts = [f"# {_name(path)}"]
    for name, value in json.loads(path.read_text("utf-8")).items():
        parts += [f"## {str(name).replace('_', ' ').capitalize()}", table(value)]
    return "\n\n".join(parts)


def _name(path):
    return path.stem.upper() if len(path.stem) < 4 else path.stem.replace("_", " ").capitalize()


RENDERERS.update({".md": _markdown, ".json": _json, ".txt": _text})
