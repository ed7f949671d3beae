"""Pages that show one recording each, its file beside it, and the frames of other pages."""

import gzip
import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "site"
NOT_SHOWN = {"cli"}
"""Parts of the package that no recording depends on."""


def frame(url: str, title: str) -> str:
    """The element that shows a recording, and links for those who want it alone, or its file."""
    url, stored, title = escape(url), escape(file_name(url)), escape(title)
    return (
        f'<iframe class="recording" src="{url}" title="{title}" loading="lazy"></iframe>\n'
        f'<p class="recording-link"><a href="{url}" target="_blank" rel="noopener">'
        "Open the recording on a page of its own</a>, or "
        f'<a href="{stored}" download>save it as a file</a> that <code>load</code> reads.</p>'
    )


def file_name(page: str) -> str:
    """Where the recording itself lies: the page holds only what it shows of it."""
    return page.removesuffix(".html") + ".json.gz"


def add(files, config, name: str, page: str, recording: str) -> None:
    """Adds the page of a recording to the site, and the recording, as JSON, beside it."""
    packed = gzip.compress(recording.encode(), mtime=0)
    files.append(File.generated(config, name, content=page))
    files.append(File.generated(config, file_name(name), content=packed))


def cached(name: str, key: str, make: Callable[[], object]) -> object:
    """What `make` returns, as JSON in .cache/site until the key changes."""
    path = CACHE / f"{name}-{key}.json.gz"
    if not path.exists():
        value = make()
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob(f"{name}-*"):
            old.unlink(missing_ok=True)
        path.write_bytes(gzip.compress(json.dumps(value).encode()))
    return json.loads(gzip.decompress(path.read_bytes()))


def fingerprint(*sources: Path) -> str:
    """Changes when one of the files, the engine, the model or the viewer does."""
    digest = sha256(_package_digest())
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _package_digest() -> bytes:
    package = ROOT / "nanovllm_edu"
    files = [
        path
        for path in sorted(package.rglob("*.*"))
        if path.suffix in (".py", ".js", ".css")
        and path.relative_to(package).parts[0] not in NOT_SHOWN
    ]
    model = sorted((package / "tiny" / "model").iterdir())
    digest = sha256()
    for path in (*files, *model):
        digest.update(path.read_bytes())
    return digest.digest()
