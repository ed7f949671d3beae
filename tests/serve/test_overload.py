"""A server that is asked for too much says so in time, and serves each key its share."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from nanovllm_edu.core.schedule.fair_policy import FairPolicy
from tests.engine.slow_runner import SlowRunner
from tests.serve.servers import HTTP, serving


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.001)


@pytest.mark.parametrize("stream", [False, True])
def test_who_cannot_begin_in_time_gets_a_503_and_when_to_ask_again(stream: bool):
    runner = SlowRunner(16, 4)
    with (
        serving(runner=runner, max_num_seqs=1, max_queue_seconds=0.05) as server,
        ThreadPoolExecutor() as pool,
    ):
        url = f"{server.url}/v1/completions"
        first = pool.submit(HTTP.post, url, json={"prompt": [1, 2, 3], "max_tokens": 1})
        until(lambda: runner.num_launches > 0)
        second = pool.submit(HTTP.post, url, json={"prompt": [1, 2], "stream": stream})
        time.sleep(0.15)
        runner.leave.release()
        answer = second.result()
        assert first.result().status_code == 200
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["error"] | {"message": ""} == {
        "message": "", "type": "server_error", "param": None, "code": "overloaded"
    }  # fmt: skip


def test_each_key_gets_its_turn():
    """Six requests of one key wait; the other key's one comes last, and need not wait for them."""
    runner, ends, lock = SlowRunner(16, 4), [], threading.Lock()

    def ask(url: str, key: str) -> None:
        body = {"prompt": [1, 2, 3], "max_tokens": 1}
        headers = {"Authorization": f"Bearer {key}"}
        assert HTTP.post(f"{url}/v1/completions", json=body, headers=headers).status_code == 200
        with lock:
            ends.append(key)

    with (
        serving(runner=runner, keys=("many", "few"), policy=FairPolicy(), max_num_seqs=1) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        waiting = server.server.served.llm
        tasks = [pool.submit(ask, server.url, "many")]
        until(lambda: runner.num_launches > 0)
        for num, key in enumerate(("many", "many", "many", "many", "many", "few"), 1):
            tasks.append(pool.submit(ask, server.url, key))
            until(lambda num=num: waiting.num_waiting == num)
        for num in range(1, 8):
            runner.leave.release()
            until(lambda num=num: len(ends) == num)
        for task in tasks:
            task.result()
    assert ends.index("few") == 2
