"""The live page's folder in the site, served below a path; Python in a real Chromium."""

import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.conftest import site  # noqa: F401  (a fixture)
from tests.loopback import served

ROOT = Path(__file__).parents[2]
BUILD = runpy.run_path(str(ROOT / "docs" / "live" / "build.py"))
KERNELS = runpy.run_path(str(ROOT / "docs" / "live" / "kernels.py"))
WHERE = "/some/where"
"""A site is not always at the top of its server."""
START = """async address => {
  const { startPython, loadWeights } = await import(`${address}/python.js`);
  window.python = await startPython();
  await loadWeights(window.python);
}"""


@pytest.fixture(scope="session")
def folder(site: Path) -> Path:  # noqa: F811
    """The folder, as the site has it."""
    return site / "live"


@pytest.fixture(scope="session")
def address(folder: Path) -> Iterator[str]:
    """Where it is served."""
    with served(folder.parent, WHERE) as top:
        yield f"{top}/{folder.name}"


@pytest.fixture(scope="session")
def requested() -> list[str]:
    """All that the browser has asked for."""
    return []


@pytest.fixture(scope="session")
def in_browser(chromium: Any, address: str, requested: list[str]) -> Iterator[Callable]:
    """Runs Python in the page, with the package and the model there; returns what it returns."""
    page = chromium.new_page()
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"{address}/python.js")
    page.evaluate(START, address)

    def run(code: str, **given: Any) -> Any:
        variables = "import json\nglobals().update(json.loads(given))\n"
        call = "([code, given]) => (python.globals.set('given', given), python.runPython(code))"
        return json.loads(page.evaluate(call, [variables + code, json.dumps(given)]))

    yield run
    page.close()
