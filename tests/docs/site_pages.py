"""Reading the built site: what a page points to, loads, and can be pointed to."""

from dataclasses import dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOURCES = ("docs", "notebooks", "benchmarks", "nanovllm_edu", "mkdocs.yml", "README.md")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Elements that make a browser fetch something, and the attribute that says what."""
NOT_LOADED = {"canonical", "prev", "next", "edit"}


@dataclass(repr=False)
class Page(HTMLParser):
    """A parsed page."""

    text: str
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    pictures: list[dict] = field(default_factory=list)
    frames: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag, attributes) -> None:
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag in LOADED and values.get(LOADED[tag]) and values.get("rel") not in NOT_LOADED:
            self.loads.append(values[LOADED[tag]])
        if tag == "img":
            self.pictures.append(values)
        if tag == "svg" and values.get("role") == "img":
            self.pictures.append({"src": "svg", "alt": values.get("aria-label", "")})
        if tag == "iframe":
            self.frames.append(values)


def is_recording(path: Path) -> bool:
    """Whether a page of the site is a recording: JSON and a script, no markup."""
    return path.parent.name == "recordings"


def fingerprint() -> str:
    """Changes when anything that the site is made of does."""
    digest = sha256()
    for name in SOURCES:
        path = ROOT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]
