"""One engine for many: every request gets the tokens of a run alone, and nothing leaks."""

import asyncio
import threading
import time
from typing import Any

import pytest

from nanovllm_edu.llm import LLM
from tests.proof.books import check_books, check_idle
from tests.proof.crowd import crowd, greedy, many_switches
from tests.proof.small_llm import right, small_llm

SHAPES: dict[str, dict[str, Any]] = {
    "hash": {"num_blocks": 24},
    "radix, tight, two ahead": {"num_blocks": 14, "prefix_cache": "radix", "depth": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_8_threads_of_200_requests_with_random_cancels(shape: str) -> None:
    llm = small_llm(**SHAPES[shape])
    counts = crowd(llm, num_threads=8, num_requests=200)
    assert counts["requests"] >= 1600 and counts["dropped"] > 100 and counts["aborted"] > 10
    while llm.engine.num_steps_in_flight:
        llm.engine.step()
    assert not llm.engine.has_unfinished_requests(), "a request of nobody's"
    check_idle(llm.engine)


@pytest.mark.slow
def test_threads_share_the_model_in_the_box() -> None:
    llm = LLM("tiny", block_size=4, num_blocks=128)
    prompts = ["Once upon a time", "The cat", "A dog and", "Then she"]
    alone = [llm.generate(p, greedy(12), use_tqdm=False)[0] for p in prompts]
    llm.engine.scheduler.block_manager.reset_prefix_cache()
    got: dict[int, Any] = {}

    def work(number: int) -> None:
        got[number] = llm.generate(prompts[number % 4], greedy(12), use_tqdm=False)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    with many_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(8):
        assert got[number].token_ids == alone[number % 4].token_ids
        assert got[number].text == alone[number % 4].text
    llm.engine.scheduler.check_invariants()
    llm.close()


def test_asyncio_to_thread_shares_the_batch() -> None:
    llm, prompts, params = small_llm(num_blocks=64), [[i, i + 1, 5] for i in range(20)], greedy(8)

    async def all_at_once() -> list[Any]:
        calls = [asyncio.to_thread(llm.generate, p, params, use_tqdm=False) for p in prompts]
        return await asyncio.gather(*calls)

    outputs = asyncio.run(all_at_once())
    assert [out[0].token_ids for out in outputs] == [right(p, params) for p in prompts]
    check_idle(llm.engine)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_stream_gets_its_tokens_whoever_steps(depth: int) -> None:
    llm, prompt, params = small_llm(depth, num_blocks=64), [3, 1, 4, 1, 5], greedy(40)
    stream = llm.stream(prompt, params)
    tokens = [next(stream).token_id]
    llm.generate([[9, 9]], greedy(20), use_tqdm=False)
    for _ in range(3):
        llm.engine.step()
    rest = list(stream)
    assert tokens + [piece.token_id for piece in rest] == right(prompt, params)
    assert rest[-1].finish_reason == "length"
    check_idle(llm.engine)


def test_a_dropped_stream_frees_its_blocks_at_once() -> None:
    llm = small_llm()
    stream = llm.stream([1, 2, 3, 4, 5], greedy(30))
    next(stream)
    stream.close()
    check_idle(llm.engine)


class _Slow:
    """A device that others wait for."""

    def __init__(self, runner: Any, entered: threading.Event, go: threading.Event) -> None:
        self._runner, self._entered, self._go = runner, entered, go

    def launch(self, plan: Any) -> Any:
        self._entered.set()
        assert self._go.wait(20)
        return self._runner.launch(plan)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


def test_a_stream_dropped_while_another_thread_is_inside_ends_when_that_one_leaves() -> None:
    """Dropping never waits: it may come from a garbage collector, or after a stop button."""
    llm = small_llm()
    engine, entered, go = llm.engine, threading.Event(), threading.Event()
    stream = llm.stream([1, 2, 3], greedy(30))
    next(stream)
    engine.runner = _Slow(engine.runner, entered, go)
    other = threading.Thread(target=engine.step)
    other.start()
    assert entered.wait(20)
    stream.close()
    assert engine.has_unfinished_requests(), "the other thread is still inside"
    go.set()
    other.join()
    assert not engine.has_unfinished_requests()
    check_books(engine)


def test_a_reader_never_sees_a_last_token_without_its_reason() -> None:
    """Another thread has appended the last token and not yet finished the request: read later."""
    llm = small_llm()
    engine, queues = llm.engine, llm.engine.scheduler.queues
    entered, advance, finish = threading.Event(), llm.engine.advance, queues.finish
    other = threading.Thread(target=engine.step)

    def slow_finish(*args: Any) -> Any:
        entered.set()
        time.sleep(0.2)
        return finish(*args)

    def advance_and_lose_the_race(depth: int = 0) -> Any:
        record = advance(depth)
        if not entered.is_set():
            other.start()
            assert entered.wait(20)
        return record

    queues.finish, engine.advance = slow_finish, advance_and_lose_the_race  # type: ignore[method-assign]
    pieces = list(llm.stream([1, 2, 3], greedy(2)))
    other.join()
    assert [piece.finish_reason for piece in pieces] == [None, "length"]


class _FailsOnce:
    def __init__(self, runner: Any) -> None:
        self._runner, self.has_failed = runner, False

    def launch(self, plan: Any) -> Any:
        if not self.has_failed:
            self.has_failed = True
            raise RuntimeError("the device failed")
        return self._runner.launch(plan)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


def test_one_call_that_fails_leaves_the_other_alone_and_can_be_read() -> None:
    """Whoever steps meets the device's error; the other stream goes on with all its tokens."""
    llm = small_llm()
    stream = llm.stream([1, 2, 3], greedy(6))
    tokens = [next(stream).token_id]
    llm.engine.runner = _FailsOnce(llm.engine.runner)
    with pytest.raises(RuntimeError, match="the device failed"):
        llm.generate([[1, 2]], greedy(4), use_tqdm=False)
    assert [output.prompt_token_ids for output in llm.interrupted()] == [[1, 2]]
    tokens += [piece.token_id for piece in stream]
    assert tokens == right([1, 2, 3], greedy(6))
    check_idle(llm.engine)
