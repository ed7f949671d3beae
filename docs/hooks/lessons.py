"""Adds notebooks/*.ipynb to the site as pages, with their stored outputs.

Where a live view stood, the page shows its recording (`lesson_views.py`). What nbconvert would
fetch from elsewhere (MathJax, Mermaid) is taken out: formulas become MathML, which browsers draw
themselves. Jupyter's style sheets, the same in every lesson, become files that are loaded once.
"""

import re
import runpy
from hashlib import sha256
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin

import embedding
import lesson_views
from latex2mathml.converter import convert
from markdown.extensions.toc import nest_toc_tokens
from mkdocs.plugins import CombinedEvent, event_priority
from mkdocs.structure.files import File
from mkdocs.structure.toc import get_toc
from source import tour_stops

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
ROW = re.compile(r"^\| (\d\d) \| (.+?) \| (.+?) \| (\d+ min) \| (.*?) ?\|$", re.MULTILINE)

LESSONS_THAT_RUN = runpy.run_path(str(ROOT / "docs" / "live" / "lesson_pages.py"))["LESSONS"]
RUN_HERE = (
    '<p><a class="md-button" href="../live/lesson_{number}.html">Run it here</a> '
    "The cells, the exercises and their checks in your browser: nothing to install.</p>"
)

STYLE = re.compile(r"<style\b[^>]*>(.{20000,}?)</style>", re.DOTALL)
SCRIPT = re.compile(r"<script\b(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.DOTALL)
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$\w])\$([^$\n]+?)\$(?!\w)", re.DOTALL)
CODE = re.compile(
    r"(<pre.*?</pre>|<code.*?</code>|<style.*?</style>|<script.*?</script>)", re.DOTALL
)
HEADING = re.compile(r'<h([1-3])\b[^>]*?\bid="([^"]+)"[^>]*>(.*?)</h\1>', re.DOTALL)
LINK = re.compile(r'<a ([^>]*?)href="([^"#:]+)(#[^"]*)?"([^>]*)>(.*?)</a>', re.DOTALL)


def on_config(config):
    """Puts the lessons into the navigation, after the overview."""
    section = next(entry["Learn"] for entry in config.nav if "Learn" in entry)
    section += [f"learn/{path.name}" for path in NOTEBOOKS]
    return config


@event_priority(100)  # before the plugin that turns notebooks into pages looks for them
def _add_notebooks(files, config):
    for path, views in lesson_views.perform_all(NOTEBOOKS).items():
        copy = str(lesson_views.embedded(path))
        files.append(File.generated(config, f"learn/{path.name}", abs_src_path=copy))
        for index, (page, recording) in views.items():
            name = lesson_views.page_name(path, index)
            embedding.add(files, config, name, page, recording)
    return files


@event_priority(-100)  # after it: its own kind of file has forgotten where the notebook lies
def _restore_paths(files, config):
    for path in NOTEBOOKS:
        copy = str(lesson_views.embedded(path))
        files.get_file_from_path(f"learn/{path.name}").abs_src_path = copy
    return files


on_files = CombinedEvent(_add_notebooks, _restore_paths)


def on_page_markdown(markdown, **_):
    """Replaces `{{ lessons }}` by the table of lessons."""
    return markdown.replace("{{ lessons }}", lessons_table()) if "{{ lessons" in markdown else None


def on_pre_page(page, config, **_):
    """The edit link of a lesson leads to its notebook."""
    if config.edit_uri and page.file.src_uri.endswith(".ipynb"):
        base = urljoin(f"{config.repo_url}/", config.edit_uri)
        page.edit_url = urljoin(base, f"../notebooks/{PurePosixPath(page.file.src_uri).name}")
    return page


def on_page_content(html, page, config, files):
    """Makes a rendered notebook self-contained, and small."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    html = STYLE.sub(lambda match: _style_sheet(match[1], config, files), html)
    html = SCRIPT.sub(_kept_script, html)
    html = LINK.sub(lambda match: _link(match), html)
    parts = CODE.split(html)  # code and styles are at odd places
    page.toc = contents(html)
    parts[::2] = [FORMULA.sub(_mathml, part) for part in parts[::2]]
    return _with_link("".join(parts), PurePosixPath(page.file.src_uri).name)


def contents(html):
    """The table of contents, from the headings as they are in the page."""
    tokens = [
        {"level": int(level), "id": anchor, "name": re.sub(r"<[^>]+>|¶", "", text).strip()}
        for level, anchor, text in HEADING.findall(html)
    ]
    return get_toc(nest_toc_tokens(tokens))


def _with_link(html, name):
    """A link under the lesson's question, if the lesson can be run in its page."""
    number = name[:2]
    if number not in LESSONS_THAT_RUN:
        return html
    link = RUN_HERE.format(number=number)
    return re.sub(r"(</h1>.*?</p>)", lambda match: match[1] + link, html, count=1, flags=re.DOTALL)


def lessons_table():
    """The README's table of lessons, linked to their pages."""
    pages = {path.name[:2]: path.name for path in NOTEBOOKS}
    rows = ["| | lesson | the question | time | before |", "|---|---|---|---|---|"]
    for number, title, *others in ROW.findall((ROOT / "README.md").read_text("utf-8")):
        title = re.sub(r"\[(.+?)\]\(.+?\)", r"\1", title)
        rows.append(f"| {number} | [{title}]({pages[number]}) | {' | '.join(others)} |")
    return "\n".join(rows)


def _style_sheet(text, config, files):
    """A link to a file with the text."""
    name = f"learn/jupyter-{sha256(text.encode()).hexdigest()[:8]}.css"
    if files.get_file_from_path(name) is None:
        files.append(File.generated(config, name, content=text))
    return f'<link rel="stylesheet" href="{PurePosixPath(name).name}">'


def _kept_script(match):
    text = match["attributes"] + match["body"]
    is_foreign = re.search(r"https?://", match["attributes"]) or "mathjax" in text.lower()
    return "" if is_foreign or "mermaid" in text.lower() else match[0]


def _mathml(match):
    block, inline = match.groups()
    source = (block or inline).replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    return convert(source.strip(), display="block" if block else "inline")


def _link(match):
    """Links between files lead to pages, those to source into the tour; the rest is text."""
    before, target, anchor, after, text = match.groups()
    page = _page_of(target)
    if page is None:
        return text
    return f'<a {before}href="{page}{anchor or ""}"{after}>{text}</a>'


def _page_of(target):
    path = PurePosixPath(target)
    if path.is_relative_to("recordings"):  # of a frame: it speaks of pages already
        return target
    if path.suffix == ".ipynb" and (ROOT / "notebooks" / path.name).exists():
        return f"{path.stem}.html"
    if path.suffix == ".md" and path.is_relative_to("../docs"):
        name = path.relative_to("../docs")
        return f"../{name.with_suffix('.html')}" if (ROOT / "docs" / name).exists() else None
    if path.is_relative_to("../nanovllm_edu"):
        stop = tour_stops().get(str(path.relative_to("../nanovllm_edu")))
        return f"../tour/{stop}.html" if stop else None
    return None
