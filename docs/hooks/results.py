"""Adds benchmarks/results/* to the site: a page each, and a list of them for `{{ results }}`.

A `.md` file is a page as it is, a `.json` file becomes tables, a `.txt` file a block of text.
Nothing is measured here.
"""

import json
from pathlib import Path

from mkdocs.structure.files import File

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
RENDERERS = {}


def on_config(config):
    """Puts the pages into the navigation, after the overview."""
    section = next(entry["Measured"] for entry in config.nav if "Measured" in entry)
    section += [page_name(path) for path in result_files()]
    return config


def on_files(files, config):
    """Adds the generated pages."""
    for path in result_files():
        content = RENDERERS[path.suffix](path)
        files.append(File.generated(config, page_name(path), content=content))
    return files


def on_page_markdown(markdown, **_):
    """Lists the results that there are."""
    rows = [f"- [{title(path)}]({Path(page_name(path)).name})" for path in result_files()]
    return markdown.replace("{{ results }}", "\n".join(rows) or "Nothing was measured yet.")


def result_files():
    """Results of which each is shown once: `.md` before `.json` before `.txt`."""
    chosen = {}
    for suffix in (".md", ".json", ".txt"):
        for path in sorted(RESULTS.glob(f"*{suffix}")):
            chosen.setdefault(path.stem, path)
    return sorted(chosen.values(), key=lambda path: path.stem)


def page_name(path):
    return f"measured/{path.stem}.md"


def title(path):
    first = path.read_text("utf-8").split("\n", 1)[0]
    return first[2:] if first.startswith("# ") else path.stem.replace("_", " ").capitalize()


def _markdown(path):
    return path.read_text("utf-8")


def _text(path):
    return f"# {title(path)}\n\n```text\n{path.read_text('utf-8').rstrip()}\n```\n"


def _json(path):
    parts = [f"# {title(path).upper() if len(path.stem) < 4 else title(path)}"]
    for name, value in json.loads(path.read_text("utf-8")).items():
        parts += [f"## {str(name).replace('_', ' ').capitalize()}", _table(value)]
    return "\n\n".join(parts)


def _table(value):
    rows = [f"| {name} | {text} |" for name, text in _flat(value)]
    return "\n".join(["| | |", "|---|---|", *rows])


def _flat(value, prefix=""):
    """Nested values as rows; long lists of raw measurements are summed up by their length."""
    if isinstance(value, dict):
        return [
            row for key, part in value.items() for row in _flat(part, f"{prefix} {key}".strip())
        ]
    if isinstance(value, list) and len(value) > 8:
        return [(prefix, f"{len(value)} values")]
    shown = f"{value:,.4g}" if isinstance(value, float) else str(value)
    return [(prefix.replace("_", " "), shown.replace("|", "\\|"))]


RENDERERS.update({".md": _markdown, ".json": _json, ".txt": _text})
