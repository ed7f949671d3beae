"""A server in the kernel of a running JupyterLab: its log, `/watch` in the cell, and its end."""

import re
from contextlib import suppress

import httpx
import pytest
from playwright.sync_api import TimeoutError

from tests.browser.conftest import ARTIFACTS, Opener, run_the_cell

pytestmark = pytest.mark.browser
HTTP = httpx.Client(trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def page(chromium, jupyterlab):
    opener = Opener(chromium)
    address = f"{jupyterlab}/lab/workspaces/panel/tree/server_panel.ipynb"
    page = opener(address, viewport={"width": 1400, "height": 1300})
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for(timeout=60_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    serving = page.get_by_role("status").filter(has_text="Serving at")
    for _ in range(3):  # a page that is still busy with itself loses the key
        run_the_cell(page)
        with suppress(TimeoutError):
            serving.wait_for(timeout=40_000)
            break
    assert serving.is_visible()
    page.keyboard.press("Control+b")  # the file browser gives way
    yield page
    opener.close()


def url_of(page) -> str:
    text = page.get_by_role("status").filter(has_text="Serving at").inner_text()
    return re.search(r"http://127\.0\.0\.1:\d+/v1", text).group()


def ask(page, num_tokens: int) -> None:
    body = {"prompt": "Once upon a time", "max_tokens": num_tokens, "ignore_eos": True}
    answer = HTTP.post(f"{url_of(page)}/completions", json=body)
    assert answer.json()["usage"]["completion_tokens"] == num_tokens


def button(page, text: str):
    return page.locator(".jupyter-button", has_text=text)


def num_steps(page) -> int:
    frame = page.frame(url=re.compile("/watch$"))
    return frame.evaluate("document.querySelector('.nv')?.viewer?.step ?? -1")


def shoot(page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.wait_for_timeout(300)
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def test_what_is_asked_is_in_the_log(page):
    log = page.get_by_role("log")
    log.filter(has_text="Started server").wait_for(timeout=8000)
    ask(page, 8)
    log.filter(has_text="POST /v1/completions").wait_for(timeout=8000)


def test_the_engine_is_watched_in_the_cell(page):
    button(page, "Watch").click()
    frame = page.frame_locator("iframe[title='The engine at work']")
    frame.locator(".nv-pool").wait_for(timeout=20_000)
    ask(page, 40)
    frame.locator(".nv-timeline").wait_for(timeout=8000)
    for _ in range(80):
        if num_steps(page) >= 30:
            break
        page.wait_for_timeout(100)
    assert num_steps(page) >= 30
    shoot(page, "server-panel")


def test_it_is_dark_where_the_notebook_is(page):
    page.get_by_text("Settings", exact=True).click()
    page.get_by_text("Theme", exact=True).hover()
    page.get_by_text("JupyterLab Dark", exact=True).click()
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached", timeout=8000)
    page.emulate_media(color_scheme="dark")  # a page in a frame follows the system
    shoot(page, "server-panel-dark")
    page.emulate_media(color_scheme="light")


def test_stop_ends_it_and_its_log_can_still_be_read(page):
    url = url_of(page)
    button(page, "Stop").click()
    page.get_by_role("status").filter(has_text="The server has ended").wait_for(timeout=20_000)
    assert page.locator("iframe[title='The engine at work']").count() == 0
    assert button(page, "Stop").is_disabled()
    assert button(page, "Watch").is_disabled()
    assert "POST /v1/completions" in page.get_by_role("log").inner_text()
    with pytest.raises(httpx.ConnectError):
        HTTP.get(f"{url}/models")
