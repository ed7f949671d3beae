"""Threads that sleep while they wait, are not waited for, and leave torch's as they were."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.models.loader import load_model
from nanovllm_edu.native.threads import (
    helpers,
    load_kernels,
    map_on_threads,
    num_threads,
    set_of_this_thread,
    torch_limited_to,
)

WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
LONG = ctypes.c_double(1e9)
"""Nanoseconds: worth any number of threads."""


def deal_out(work, num_items: int, nanoseconds: ctypes.c_double, most: int) -> None:
    helpers().deal_out(WORK(work), None, 0, ctypes.c_int64(num_items), nanoseconds, most)


def each_item_and_who_did_it(
    num_items: int, nanoseconds: ctypes.c_double, most: int, num_wanted: int = 1
) -> tuple[list[int], set[int]]:
    """Nobody ends a piece before so many threads have come, however busy the machine is."""
    done, who, are_enough = [], set(), threading.Event()

    def work(_: object, first: int, end: int) -> None:
        done.extend(range(first, end))
        who.add(threading.get_native_id())
        if len(who) >= num_wanted:
            are_enough.set()
        are_enough.wait(20)

    deal_out(work, num_items, nanoseconds, most)
    return sorted(done), who


@pytest.mark.parametrize("num_items", [1, 2, 3, 100, 1001])
def test_every_item_is_done_once(num_items: int) -> None:
    for _ in range(20):
        done, who = each_item_and_who_did_it(num_items, LONG, 4)
        assert done == list(range(num_items))
        assert len(who) <= 4


def test_a_long_job_is_shared_and_a_small_one_is_not() -> None:
    assert len(each_item_and_who_did_it(100, LONG, 3, num_wanted=3)[1]) == 3
    for nanoseconds, most in ((15e3, 3), (1e9, 1)):
        done, who = each_item_and_who_did_it(100, ctypes.c_double(nanoseconds), most)
        assert done == list(range(100))
        assert who == {threading.get_native_id()}


def test_nobody_waits_for_a_helper_that_is_late() -> None:
    """All helpers are kept by one caller; another one does its work alone meanwhile."""
    is_begun, may_end = threading.Event(), threading.Event()

    def wait(_: object, first: int, end: int) -> None:
        is_begun.set()
        may_end.wait(20)

    other = threading.Thread(target=deal_out, args=(wait, 2, LONG, 2))
    other.start()
    assert is_begun.wait(20)
    done, who = each_item_and_who_did_it(50, LONG, 2)
    may_end.set()
    other.join()
    assert done == list(range(50))
    assert who == {threading.get_native_id()}


def test_who_waits_uses_no_time() -> None:
    each_item_and_who_did_it(100, LONG, 4, num_wanted=4)
    begin = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - begin < 0.1


def test_a_forked_child_starts_threads_of_its_own() -> None:
    """In a process of its own: torch does not like to be forked."""
    code = """
import ctypes, os
from tests.native.test_threads import LONG, each_item_and_who_did_it
assert len(each_item_and_who_did_it(100, LONG, 3, num_wanted=3)[1]) == 3
child = os.fork()
if child == 0:
    done, who = each_item_and_who_did_it(100, LONG, 3, num_wanted=3)
    os._exit(0 if done == list(range(100)) and len(who) == 3 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=root)


def test_our_kernels_bring_no_openmp() -> None:
    """Its threads would burn their core; torch has them already, and they are left alone."""
    for name in ("ops.c", "gemm.c"):
        library = Path(load_kernels(name)._name).read_bytes()
        assert b"GOMP_parallel" not in library
        assert b"__kmpc_fork_call" not in library


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_torch_is_limited_in_the_block_and_our_kernels_are_not() -> None:
    def fail() -> None:
        with torch_limited_to(1):
            assert (torch.get_num_threads(), num_threads()) == (1, 2)
            with torch_limited_to(1):
                assert num_threads() == 2
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (torch.get_num_threads(), num_threads()) == (2, 2)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.skipif(sys.platform != "linux", reason="where torch's OpenMP is known to be found")
def test_other_threads_are_not_limited() -> None:
    assert set_of_this_thread() is not torch.set_num_threads
    seen: list[int] = []
    with torch_limited_to(1):
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert seen == [2]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("options", [{}, {"attention_backend": "sdpa"}, {"dtype": "bfloat16"}])
def test_an_engine_starts_none_of_torchs_threads_for_a_small_step(options: dict) -> None:
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("counts threads where Linux shows them")
    with LLM(num_blocks=64, **options) as llm:
        seen: list[int] = []
        forward = llm.engine.runner.model.forward

        def watched(*arguments):
            seen.append(torch.get_num_threads())
            return forward(*arguments)

        llm.engine.runner.model.forward = watched
        prompt = "Once upon a time there was a little girl. One day"  # too long for a tape
        llm.generate(prompt, SamplingParams(max_tokens=3), use_tqdm=False)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
        assert llm.info.choices["threads"][0] == "up to 2"


@pytest.mark.usefixtures("two_threads")
def test_an_engine_loads_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of copies of a small tensor each, after each of which torch's threads burn."""
    seen: list[int] = []

    def watched(*arguments, **options):
        seen.append(torch.get_num_threads())
        return load_model(*arguments, **options)

    monkeypatch.setattr("nanovllm_edu.runners.load.load_model", watched)
    LLM(num_blocks=8).close()
    assert seen == [1]


@pytest.mark.usefixtures("two_threads")
def test_torch_may_use_all_threads_for_a_large_step_that_is_its_own() -> None:
    with LLM(num_blocks=128, dtype="bfloat16") as llm:
        threads = llm.engine.runner.threads
        with threads.for_step(10):
            assert torch.get_num_threads() == 1
        with threads.for_step(10_000):
            assert torch.get_num_threads() == 2
        assert "burn" in llm.info.choices["threads"][1]


def test_a_map_on_threads_that_have_one_of_torchs_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanovllm_edu.native.threads.num_threads", lambda: 3)
    meeting = threading.Barrier(3, timeout=20)

    def number(given: int) -> tuple[int, int]:
        meeting.wait()  # all three are here at once
        return given, torch.get_num_threads()

    with map_on_threads() as each:
        assert list(each(number, range(3))) == [(0, 1), (1, 1), (2, 1)]
