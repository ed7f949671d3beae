"""A real Chromium, a page that may reach this machine only, and a JupyterLab on the loopback."""

import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from nanovllm_edu.introspect import to_html
from tests.browser.recordings import eventful_recording

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
LESSONS = Path(__file__).parents[2] / "notebooks"
WINDOW = {"width": 1280, "height": 1000}


class Opener:
    """Opens pages, and keeps their errors and whatever they asked for outside this machine."""

    def __init__(self, browser) -> None:
        self.browser = browser
        self.contexts, self.problems = [], []

    def __call__(self, url: str, **options):
        context = self.browser.new_context(**{"viewport": WINDOW, **options})
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", lambda request: _check(request.url, self.problems))
        page.goto(url)
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert self.problems == []


def run_the_cell(page) -> None:
    """The editor takes keys only some time after it is there, and dialogs may come before."""
    for _ in range(30):
        accept = page.locator(".jp-Dialog .jp-mod-accept")
        if accept.count():  # on a busy machine JupyterLab asks for a kernel, or for patience
            accept.first.click()
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(700)
        if page.locator(".jp-CodeCell .jp-InputPrompt").first.inner_text().strip() != "[ ]:":
            return
    pytest.fail("the cell does not run")


@pytest.fixture
def open_page(chromium):
    """Opens pages; fails the test if one has an error or asks for anything outside."""
    opener = Opener(chromium)
    yield opener
    opener.close()


@pytest.fixture(scope="module")
def shared_page(chromium, exported):
    """The exported page, opened once for all tests of a module."""
    opener = Opener(chromium)
    page = opener(exported)
    page.wait_for_selector(".nv-timeline")
    yield page
    opener.close()


def _check(url: str, problems: list[str]) -> None:
    if not re.match(r"(file|data|blob):|(https?|wss?)://(127\.0\.0\.1|localhost)[:/]", url):
        problems.append(f"a request left the machine: {url}")


@pytest.fixture(scope="session")
def recording():
    """A run with prefix hits, preemptions, evictions and a queue."""
    return eventful_recording()


@pytest.fixture(scope="session")
def exported(recording, tmp_path_factory):
    """The address of the exported page."""
    return to_html(recording, tmp_path_factory.mktemp("page") / "demo.html").as_uri()


@pytest.fixture
def shoot():
    """Keeps a screenshot among the test artefacts."""
    ARTIFACTS.mkdir(exist_ok=True)
    return lambda page, name, **options: page.screenshot(
        path=ARTIFACTS / f"{name}.png", full_page=True, **options
    )


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory):
    """The address of a JupyterLab of our own, in a folder of its own."""
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("lab")
    for notebook in Path(__file__).parent.glob("*.ipynb"):
        shutil.copy(notebook, folder)
    runpy.run_path(str(LESSONS / "copy_lessons.py"))["copy_lessons"](folder)
    settings = folder / "settings" / "@jupyterlab"
    for name, values in {
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
        "notebook-extension/tracker": '{"windowingMode": "none"}',  # all cells are in the page
    }.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(values)
    port = _free_port()
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--allow-root",
        "--LabApp.news_url=None",
        f"--ServerApp.root_dir={folder}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api", server, folder / "log")
        yield address
    finally:
        server.terminate()
        server.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
