"""`{{ options EngineConfig }}` and `{{ events }}`: tables made from the code they describe."""

import re
from dataclasses import MISSING, fields
from html import escape
from importlib import import_module
from inspect import get_annotations, getdoc

from recordings import recordings

OPTIONS = re.compile(r"^\{\{ options (\S+)\.(\w+) \}\}$", re.MULTILINE)
EVENTS = "{{ events }}"


def on_page_markdown(markdown, **_):
    """Replaces the directives by tables."""
    markdown = OPTIONS.sub(lambda match: options_table(match[1], match[2]), markdown)
    return markdown.replace(EVENTS, events_table()) if EVENTS in markdown else markdown


def options_table(module, name):
    """Name, type, default and meaning of each field of a dataclass."""
    cls = getattr(import_module(f"nanovllm_edu.{module}"), name)
    meanings = attributes(cls)
    missing = [field.name for field in fields(cls) if field.name not in meanings]
    if missing:
        raise LookupError(f"{name}: no meaning is written for {', '.join(missing)}")
    rows = [
        f"| `{field.name}` {{ #{field.name} }} | `{type_name(field)}` | `{default(field)}` "
        f"| {cell(meanings[field.name])} |"
        for field in fields(cls)
    ]
    table = "\n".join(["| option | type | default | meaning |", "|---|---|---|---|", *rows])
    return f'<div class="stack" markdown>\n\n{table}\n\n</div>'


def events_table():
    """A section for each event type: what it means, its fields, and one as it was recorded."""
    types = import_module("nanovllm_edu.core.events").EVENT_TYPES
    recorded = [event for run in recordings().values() for record in run for event in record.events]
    sections = []
    for name, cls in types.items():
        why = max((event.why for event in recorded if type(event) is cls), key=len, default="")
        example = f"\n\n> {escape(why)}" if why else ""
        summary = getdoc(cls).split("\n\nAttributes:")[0]
        sections.append(f"### {name}\n\n{summary}\n\n{fields_list(cls)}{example}")
    return "\n\n".join(sections)


def fields_list(cls):
    """An event's own fields: a list if the docstring says what they mean, else their names."""
    names = list(get_annotations(cls))  # not those that it has from another kind of event
    meanings = attributes(cls)
    if not meanings:
        return f"Fields: {', '.join(f'`{name}`' for name in names)}."
    told = {name: f": {meanings[name]}" for name in names if name in meanings}
    return "\n".join(f"- `{name}`{told.get(name, '')}" for name in names)  # inherited: bare


def attributes(cls):
    """Field -> meaning, from the "Attributes:" section of a docstring, if there is one."""
    section = re.search(r"^Attributes:\n((?:    .*\n?|\n)+)", getdoc(cls), re.MULTILINE)
    text = section[1] if section else ""
    entries = re.findall(r"^    (\w+): ((?:.+)(?:\n     +.+)*)", text, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def default(field):
    """A default as one would write it."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    return value.__name__ if isinstance(value, type) else repr(value)


def type_name(field):
    """The annotation, without the pipe that would end a table cell."""
    text = getattr(field.type, "__name__", str(field.type))
    text = str(field.type) if "|" in str(field.type) or "[" in str(field.type) else text
    return re.sub(r"\b(?:\w+\.)+", "", text).replace(" | ", " or ")


def cell(text):
    """Text that cannot end a table cell."""
    return text.replace("|", "\\|")
