"""The site, built once for everything that looks at it, with warnings as errors."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.docs.site_pages import ROOT, Page, fingerprint, is_recording

BUILDS = ROOT / ".cache" / "site-tests"
HOSTED = {
    "REPO_URL": "https://example.org/nanovllm-edu",
    "EDIT_URI": "edit/main/docs/",
    "SITE_URL": "https://example.org/some/where/",
}
"""As if the project were hosted somewhere: pages have edit links, and lie under a path."""


@pytest.fixture(scope="session")
def site() -> Path:
    """The site's folder. A build is kept, and used again while its sources stay as they are."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocs_jupyter")
    folder = BUILDS / fingerprint()
    BUILDS.parent.mkdir(exist_ok=True)
    with FileLock(f"{BUILDS}.lock"):  # the tests run in two processes, and one build is enough
        if not folder.exists():
            shutil.rmtree(BUILDS, ignore_errors=True)
            build(BUILDS / "building").rename(folder)
    return folder


def build(folder: Path) -> Path:
    """Builds the site there, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | HOSTED | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site) -> dict[Path, Page]:
    """Every page but the recordings."""
    paths = [path for path in sorted(site.rglob("*.html")) if not is_recording(path)]
    return {path: Page(path.read_text("utf-8")) for path in paths}


@pytest.fixture(scope="session")
def recorded(site):
    """Path of a page -> the recording that it shows, from the file beside it."""
    from nanovllm_edu.introspect import load

    paths = sorted(site.rglob("recordings/*.html"))
    return {path: load(path.with_suffix(".json.gz")) for path in paths}
