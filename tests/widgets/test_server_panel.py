"""A server in the kernel: it answers, its log is shown, and nothing is left when it closes."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from ipywidgets.widgets.widget import _instances

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.widgets import server_panel
from nanovllm_edu.widgets.server_panel import LOGGERS, MOST_LINES, ServerPanel
from tests.proof.small_llm import small_llm
from tests.serve.servers import HTTP


@pytest.fixture
def panel() -> Iterator[ServerPanel]:
    panel = ServerPanel(small_llm())
    yield panel
    panel.close()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def handlers() -> int:
    return sum(len(logging.getLogger(name).handlers) for name in LOGGERS)


def test_it_answers_and_its_log_says_so(panel: ServerPanel):
    until(lambda: "Started server" in panel.lines.value)
    answer = HTTP.post(f"{panel.url}/completions", json={"prompt": [1, 2], "max_tokens": 2})
    assert answer.status_code == 200
    until(lambda: "POST /v1/completions" in panel.lines.value)
    assert panel.url in panel.status.value
    assert repr(panel) == "ServerPanel(open)"
    assert panel._repr_mimebundle_()["text/plain"] == "ServerPanel(open)"


def test_what_strangers_send_is_text_and_the_log_is_bounded(panel: ServerPanel):
    log = logging.getLogger("nanovllm_edu.serve")
    for number in range(MOST_LINES + 5):
        log.error("<script>alert(%d)</script>", number)
    assert "<script" not in panel.lines.value
    assert "alert(4)" not in panel.lines.value
    assert panel.lines.value.count("\n") == MOST_LINES - 1


def test_watch_opens_in_the_cell_and_may_be_framed_by_a_notebook(panel: ServerPanel):
    panel.watch.value = True
    page = panel.url.removesuffix("/v1") + "/watch"
    assert f'src="{page}"' in panel.frame.value
    policy = HTTP.get(page).headers["Content-Security-Policy"]
    assert "frame-ancestors http://localhost:* http://127.0.0.1:*" in policy
    panel.watch.value = False
    assert panel.frame.value == ""


def test_stopping_ends_the_server_and_keeps_the_log(panel: ServerPanel):
    logging.getLogger("nanovllm_edu.serve").error("a line")
    panel.watch.value = True
    panel.stop.click()
    assert (panel.is_open, repr(panel)) == (False, "ServerPanel(closed)")
    assert panel.frame.value == ""
    assert panel.watch.disabled and panel.stop.disabled
    assert "has ended" in panel.status.value
    assert "a line" in panel.lines.value
    host, port = panel.url.removeprefix("http://").removesuffix("/v1").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 5)


def test_closing_leaves_no_thread_handler_or_widget():
    before, threads, widgets = handlers(), threading.active_count(), set(_instances)
    llm = small_llm()
    panel = ServerPanel(llm)
    assert handlers() > before
    assert len(set(_instances) - widgets) > 5
    panel.close()
    panel.close()
    assert (handlers(), threading.active_count()) == (before, threads)
    assert not set(_instances) - widgets
    assert not llm.engine.is_closed  # it was given


def test_what_fails_at_the_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch):
    before, threads = handlers(), threading.active_count()
    with pytest.raises(ConfigError, match="max_waiting=0"):
        ServerPanel(small_llm(), max_waiting=0)

    def refuse(*_: object, **options: object) -> None:
        raise ConfigError("nothing can listen")

    monkeypatch.setattr(server_panel, "ServerThread", refuse)
    with pytest.raises(ConfigError, match="nothing can listen"):
        ServerPanel(small_llm())
    assert (handlers(), threading.active_count()) == (before, threads)
