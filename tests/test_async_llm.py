"""`AsyncLLM`: the tokens of `LLM`, for event loops; and whoever leaves takes everything along."""

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import (
    ConfigError,
    EngineClosedError,
    NanoVLLMError,
    PromptTooLongError,
    RequestError,
    StepFailedError,
    TooBusyError,
)
from nanovllm_edu.pace import Pace
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.engine.faulty_runner import FaultyRunner
from tests.engine.slow_runner import SlowRunner
from tests.proof.small_llm import right, small_llm

PROMPTS = [[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 9], [8, 8, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9]]
GREEDY = SamplingParams(temperature=0, max_tokens=6)
LONG = SamplingParams(temperature=0, max_tokens=50)
ENDLESS = SamplingParams(temperature=0, max_tokens=None)
MANY_BLOCKS = 2**14
"""Whoever is endless must not have filled them before it is cancelled, which takes milliseconds."""


def async_llm(runner: ChecksumRunner | None = None, depth: int = 0, **options: Any) -> AsyncLLM:
    max_waiting = options.pop("max_waiting", 64)
    return AsyncLLM(small_llm(depth, runner, **options), max_waiting=max_waiting)


def check_empty(llm: AsyncLLM) -> None:
    """No row, no block, no request, no mailbox."""
    scheduler = llm.llm.engine.scheduler
    scheduler.check_invariants()
    assert not scheduler.running and not scheduler.waiting
    assert scheduler.block_manager.num_free_blocks == scheduler.block_manager.num_blocks
    assert llm.num_unfinished == 0


async def until(is_so: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.001)


# ----------------------------------------------------------------------------- the same tokens


@pytest.mark.parametrize("depth", [0, 1])
def test_the_tokens_are_those_of_llm(depth: int) -> None:
    async def main() -> None:
        async with async_llm(depth=depth) as llm:
            outputs = await asyncio.gather(*(llm.generate(p, GREEDY) for p in PROMPTS))
            assert [output.token_ids for output in outputs] == [right(p, GREEDY) for p in PROMPTS]
            assert outputs == small_llm().generate(PROMPTS, GREEDY, use_tqdm=False)
            check_empty(llm)

    asyncio.run(main())


def test_a_stream_gives_what_llms_stream_gives() -> None:
    async def main() -> None:
        async with async_llm() as llm:
            pieces = [piece async for piece in llm.stream("hello", GREEDY)]
        assert pieces == list(small_llm().stream("hello", GREEDY))

    asyncio.run(main())


def test_several_prompts_of_one_call_come_interleaved_and_whole() -> None:
    async def main() -> None:
        async with async_llm() as llm:
            stream = llm.stream(PROMPTS, GREEDY)
            ids = await stream.accepted()
            pieces = [piece async for piece in stream]
            for request_id, prompt in zip(ids, PROMPTS, strict=True):
                mine = [p.token_id for p in pieces if p.request_id == request_id]
                assert mine == right(prompt, GREEDY)
            assert [output.request_id for output in await stream.outputs()] == list(ids)
            check_empty(llm)

    asyncio.run(main())


def test_log_probabilities_come_with_their_token(tiny_llm: Any) -> None:
    async def main() -> None:
        params = SamplingParams(temperature=0, max_tokens=5, logprobs=2)
        async with AsyncLLM(tiny_llm) as llm:
            stream = llm.stream("Once upon a time", params)
            pieces = [piece async for piece in stream]
            assert [piece.logprobs for piece in pieces] == (await stream.output()).logprobs
        assert not tiny_llm.engine.is_closed
        assert (await_sync := tiny_llm.generate("Once upon a time", params, use_tqdm=False))
        assert await_sync[0].token_ids == [piece.token_id for piece in pieces]

    asyncio.run(main())


@pytest.fixture(scope="module")
def tiny_llm() -> Any:
    from nanovllm_edu import LLM

    with LLM(num_blocks=64) as llm:
        yield llm


def test_two_event_loops_and_a_thread_share_one_batch() -> None:
    llm = async_llm(num_blocks=64)
    results: dict[str, list[list[int]]] = {}

    async def ask() -> list[list[int]]:
        outputs = await asyncio.gather(*(llm.generate(prompt, LONG) for prompt in PROMPTS))
        return [output.token_ids for output in outputs]

    def blocking() -> None:
        outputs = llm.llm.generate(PROMPTS, LONG, use_tqdm=False)
        results["thread"] = [output.token_ids for output in outputs]

    def looping(name: str) -> None:
        results[name] = asyncio.run(ask())

    threads = [threading.Thread(target=looping, args=(name,)) for name in ("one", "two")]
    threads.append(threading.Thread(target=blocking))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    check_empty(llm)
    llm.close()
    assert set(results) == {"one", "two", "thread"}
    assert all(tokens == [right(p, LONG) for p in PROMPTS] for tokens in results.values())


# ------------------------------------------------------------------------------------- leaving


def test_leaving_the_loop_frees_everything_before_the_next_step() -> None:
    async def main() -> None:
        runner = SlowRunner(16, 4)
        async with async_llm(runner) as llm:
            runner.leave.release(2)
            async for _ in llm.stream([1, 2, 3], ENDLESS):
                break
            runner.leave.release()  # a step that has begun may end
            await until(lambda: llm.num_unfinished == 0)
            check_empty(llm)
            num_steps = llm.metrics().num_steps
            assert num_steps <= 3
            runner.leave.release(100)
            assert (await llm.generate([5], GREEDY)).token_ids == right([5], GREEDY)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["task", "cancel", "collected", "timeout"])
def test_each_way_to_leave_cancels_the_request_and_no_other(how: str) -> None:
    async def reader(llm: AsyncLLM, started: asyncio.Event) -> None:
        async for _ in llm.stream([1, 2, 3], ENDLESS):
            started.set()

    async def main() -> None:
        async with async_llm(num_blocks=MANY_BLOCKS) as llm:
            other = asyncio.create_task(llm.generate([4, 4], LONG))
            if how == "task":
                started = asyncio.Event()
                task = asyncio.create_task(reader(llm, started))
                await started.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            elif how == "timeout":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await llm.generate([1, 2, 3], ENDLESS)
            else:
                stream = llm.stream([1, 2, 3], ENDLESS)
                await anext(stream)
                if how == "cancel":
                    stream.cancel()
                del stream
                gc.collect()
            await until(lambda: llm.metrics().num_finished["abort"] == 1)
            assert (await other).token_ids == right([4, 4], LONG)
            await until(lambda: llm.num_unfinished == 0)
            check_empty(llm)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_loop_that_closed_is_noticed() -> None:
    llm = async_llm(num_blocks=1024)
    held = []

    async def leave_open() -> None:
        held.append(llm.stream([1, 2], ENDLESS))
        await anext(held[0])

    asyncio.run(leave_open())

    async def main() -> None:
        await until(lambda: llm.num_unfinished == 0)
        check_empty(llm)
        assert (await llm.generate([5], GREEDY)).token_ids == right([5], GREEDY)

    asyncio.run(main())
    llm.close()


# --------------------------------------------------------------------------------- back-pressure


def test_a_full_queue_refuses_the_next_one_with_the_numbers() -> None:
    async def main() -> None:
        runner = SlowRunner(16, 4)
        async with async_llm(runner, max_num_seqs=1, max_waiting=3) as llm:
            streams = [llm.stream([i + 1], GREEDY) for i in range(3)]
            with pytest.raises(
                TooBusyError, match=r"3 requests wait, 1 would come, and max_waiting=3; try"
            ):
                llm.stream([9], GREEDY)
            assert llm.metrics().num_refused == 1
            runner.leave.release(100)
            for i, stream in enumerate(streams):
                assert (await stream.output()).token_ids == right([i + 1], GREEDY)
            assert (await llm.generate([9], GREEDY)).token_ids == right([9], GREEDY)

    asyncio.run(main())


@pytest.mark.parametrize("max_waiting", [0, -1, "3", True, 1.5])
def test_a_bound_that_is_none_is_refused(max_waiting: Any) -> None:
    with pytest.raises(ConfigError, match="max_waiting"):
        AsyncLLM(small_llm(), max_waiting=max_waiting)


@pytest.mark.parametrize("pause", [-0.1, "0.05", float("nan"), True, None])
def test_a_pause_that_is_none_is_refused(pause: Any) -> None:
    with pytest.raises(ConfigError, match="max_pause_seconds"):
        AsyncLLM(small_llm(), max_pause_seconds=pause)


def test_options_belong_to_the_llm_that_is_made() -> None:
    with pytest.raises(ConfigError, match="block_size"):
        AsyncLLM(small_llm(), block_size=4)


# ---------------------------------------------------------------------------------- bad requests


def test_a_bad_request_is_told_to_its_sender_alone() -> None:
    async def main() -> None:
        async with async_llm() as llm:
            good = asyncio.create_task(llm.generate([1, 2], LONG))
            with pytest.raises(RequestError, match="empty"):
                llm.stream([[]], GREEDY)
            assert await llm.stream([], GREEDY).outputs() == []  # as LLM does
            for prompts in ([], [[1], [2]]):
                with pytest.raises(RequestError, match="are not one prompt"):
                    await llm.generate(prompts, GREEDY)
            stream = llm.stream([1] * 64, GREEDY)
            with pytest.raises(PromptTooLongError):
                await stream.accepted()
            with pytest.raises(PromptTooLongError):
                await stream.output()
            with pytest.raises(RequestError, match="sampling_params"):
                await llm.generate([1], "hot")  # type: ignore[arg-type]
            assert (await good).token_ids == right([1, 2], LONG)
            check_empty(llm)

    asyncio.run(main())


def test_without_an_event_loop_it_says_so() -> None:
    with async_llm() as llm, pytest.raises(NanoVLLMError, match="no event loop"):
        llm.stream([1])


# ------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("where", ["in_launch", "in_wait"])
def test_a_step_that_raises_ends_its_requests_and_the_engine_goes_on(
    where: str, depth: int
) -> None:
    async def main() -> None:
        runner = FaultyRunner(16, 4)
        async with async_llm(runner, depth) as llm:
            runner.fail(**{where: [2]})
            results = await asyncio.gather(
                *(llm.generate(prompt, LONG) for prompt in PROMPTS[:2]), return_exceptions=True
            )
            assert {type(result) for result in results} == {StepFailedError}
            assert results[0] is not results[1]  # each is raised in a task of its own
            assert "DeviceFailure: the device failed" in str(results[0])
            check_empty(llm)
            metrics = llm.metrics()
            assert (metrics.num_failed_steps, metrics.num_finished["error"]) == (1, 2)
            assert (await llm.generate(PROMPTS[0], LONG)).token_ids == right(PROMPTS[0], LONG)

    asyncio.run(main())


def test_tokens_before_a_failure_are_still_read() -> None:
    async def main() -> None:
        runner = FaultyRunner(16, 4)
        async with async_llm(runner) as llm:
            runner.fail(in_wait=[3])
            stream = llm.stream([1, 2, 3], LONG)
            tokens = [(await anext(stream)).token_id for _ in range(3)]
            assert tokens == right([1, 2, 3], LONG)[:3]
            with pytest.raises(StepFailedError):
                await anext(stream)

    asyncio.run(main())


def test_an_engine_closed_under_it_is_a_clear_end() -> None:
    async def main() -> None:
        llm = async_llm(num_blocks=1024)
        stream = llm.stream([1, 2, 3], ENDLESS)
        await anext(stream)
        await asyncio.to_thread(llm.llm.close)
        with pytest.raises(EngineClosedError, match="the driver has ended"):
            await stream.output()
        await until(lambda: llm.is_closed)
        with pytest.raises(EngineClosedError):
            llm.stream([1])
        llm.close()

    asyncio.run(main())


# ---------------------------------------------------------------------------------- closing


def test_closing_ends_what_is_unfinished_and_leaves_nothing() -> None:
    async def main() -> None:
        llm = async_llm(num_blocks=1024)
        streams = [llm.stream(prompt, ENDLESS) for prompt in PROMPTS]
        await anext(streams[0])
        await asyncio.to_thread(llm.close)
        llm.close()
        for stream in streams:
            with pytest.raises(EngineClosedError, match="closed"):
                await stream.output()
        check_empty(llm)
        with pytest.raises(EngineClosedError):
            llm.stream([1])
        assert not llm.llm.engine.is_closed  # it was given

    asyncio.run(main())
    names = {thread.name for thread in threading.enumerate()}
    assert "nanovllm-edu driver" not in names


def test_a_request_that_crosses_the_end_is_told() -> None:
    """However the two come together, nobody waits for ever."""

    async def main(delay: float) -> None:
        llm = async_llm(num_blocks=1024)
        closing = asyncio.get_running_loop().run_in_executor(None, llm.close)
        end = time.perf_counter() + delay
        while time.perf_counter() < end:
            pass
        with pytest.raises(EngineClosedError):
            async with asyncio.timeout(5):
                await llm.generate([1], ENDLESS)
        await closing

    for i in range(30):
        asyncio.run(main(i * 2e-5))


def test_an_object_that_nobody_holds_ends_its_thread() -> None:
    llm = async_llm()
    thread = llm._driver._thread
    del llm
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


# ---------------------------------------------------------------------------------- metrics


def test_metrics_count_what_happened() -> None:
    async def main() -> None:
        async with async_llm(max_num_seqs=2, num_blocks=64) as llm:
            await asyncio.gather(*(llm.generate(prompt, GREEDY) for prompt in PROMPTS))
            again = await llm.generate(PROMPTS[0], GREEDY)
            metrics = llm.metrics()
        assert again.num_cached_tokens == 4
        assert (metrics.num_requests, metrics.num_finished["length"]) == (5, 5)
        assert metrics.num_generated_tokens == 30
        assert metrics.num_prompt_tokens == sum(map(len, PROMPTS)) + 7
        assert metrics.num_cached_tokens >= 4
        assert metrics.time_to_first_token.count == 5
        assert metrics.inter_token_time.count == 25
        assert metrics.time_per_output_token.count == metrics.end_to_end_time.count == 5
        assert 0 < metrics.time_to_first_token.mean < metrics.end_to_end_time.mean
        assert (metrics.num_running, metrics.num_waiting, metrics.kv_use) == (0, 0, 0.0)

    asyncio.run(main())


def test_actions_come_between_steps() -> None:
    async def main() -> None:
        async with async_llm(num_blocks=512) as llm:
            stream = llm.stream([1, 2], ENDLESS)
            await anext(stream)
            name = await llm.between_steps(lambda _: threading.current_thread().name)
            assert name == "nanovllm-edu driver"
            with pytest.raises(ZeroDivisionError):
                await llm.between_steps(lambda _: 1 // 0)
            assert await anext(stream)

    asyncio.run(main())


# ------------------------------------------------------------------------- several answers


def test_a_call_with_several_answers_counts_each_of_them() -> None:
    async def main() -> None:
        async with async_llm(max_num_seqs=4) as llm:
            params = SamplingParams(n=3, seed=1, max_tokens=6)
            stream = llm.stream(PROMPTS[:2], params)
            assert await stream.accepted() == (0, 3)
            pieces = [piece async for piece in stream]
            outputs = await stream.outputs()
            assert [len(output.outputs) for output in outputs] == [3, 3]
            for output in outputs:
                for one in output.outputs:
                    mine = [
                        p
                        for p in pieces
                        if (p.request_id, p.index) == (output.request_id, one.index)
                    ]
                    assert [piece.token_id for piece in mine] == one.token_ids
            metrics = llm.metrics()
            assert (metrics.num_requests, metrics.num_finished["length"]) == (6, 6)
            assert metrics.num_generated_tokens == 36
            check_empty(llm)

    asyncio.run(main())


def test_the_queue_is_full_of_answers_too() -> None:
    async def main() -> None:
        async with async_llm(max_waiting=5, max_num_seqs=4, num_blocks=MANY_BLOCKS) as llm:
            with pytest.raises(TooBusyError, match="6 would come, and max_waiting=5"):
                llm.stream(PROMPTS[:2], [SamplingParams(n=3)] * 2)
            with pytest.raises(RequestError, match="n=5 answers"):
                await llm.generate([1], SamplingParams(n=5))
            cancelled = llm.stream([1], SamplingParams(n=4, max_tokens=None, ignore_eos=True))
            await cancelled.accepted()
            cancelled.cancel()
            await until(lambda: llm.metrics().num_finished["abort"] == 4)
            check_empty(llm)

    asyncio.run(main())


# ------------------------------------------------------------------- what takes its time before


def prepared(llm: AsyncLLM, monkeypatch: pytest.MonkeyPatch, work: Any) -> SamplingParams:
    """Options whose request has this work to be done before it can be read."""
    slow = SamplingParams(temperature=0, max_tokens=6, seed=77)
    engine = llm.llm.engine
    monkeypatch.setattr(engine, "preparation", lambda params: work if params is slow else None)
    return slow


def test_no_step_waits_for_a_grammar_and_it_is_no_waiting_in_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave = threading.Event()

    async def main() -> None:
        async with AsyncLLM(small_llm(), max_queue_seconds=0.05) as llm:
            slow = prepared(llm, monkeypatch, lambda: leave.wait(20))
            waiting = llm.stream(PROMPTS[0], slow)
            assert llm.num_waiting == 1
            output = await llm.generate(PROMPTS[1], GREEDY)  # meanwhile
            assert output.token_ids == right(PROMPTS[1], GREEDY)
            await asyncio.sleep(0.1)  # longer than anybody may wait in the queue
            leave.set()
            assert (await waiting.output()).token_ids == right(PROMPTS[0], GREEDY)
            check_empty(llm)
            assert llm.num_waiting == 0

    asyncio.run(main())


def test_a_grammar_that_cannot_be_compiled_is_the_requests_own_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise RequestError("it cannot be met")

    async def main() -> None:
        async with async_llm() as llm:
            slow = prepared(llm, monkeypatch, fail)
            with pytest.raises(RequestError, match="it cannot be met"):
                await llm.generate(PROMPTS[0], slow)
            assert llm.num_waiting == 0
            assert (await llm.generate(PROMPTS[1], GREEDY)).token_ids == right(PROMPTS[1], GREEDY)

    asyncio.run(main())


def test_who_leaves_while_its_grammar_is_compiled_is_never_queued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave = threading.Event()

    async def main() -> None:
        async with async_llm() as llm:
            slow = prepared(llm, monkeypatch, lambda: leave.wait(20))
            llm.stream(PROMPTS[0], slow).cancel()
            await until(lambda: llm.num_waiting == 0)
            leave.set()
            assert (await llm.generate(PROMPTS[1], GREEDY)).token_ids == right(PROMPTS[1], GREEDY)
            check_empty(llm)
            assert llm.metrics().num_requests == 1

    asyncio.run(main())


def test_closing_ends_who_still_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = threading.Event()

    async def main() -> None:
        llm = async_llm()
        slow = prepared(llm, monkeypatch, lambda: leave.wait(20))
        waiting = llm.stream(PROMPTS[0], slow)
        await asyncio.to_thread(llm.close)
        leave.set()
        with pytest.raises(EngineClosedError):
            await waiting.output()

    asyncio.run(main())


def test_a_slow_reader_gets_several_tokens_together_and_misses_none():
    runner = SlowRunner(16, 4)

    async def read_slowly(llm):
        params = SamplingParams(temperature=0, max_tokens=20, ignore_eos=True)
        stream, batches = llm.stream("hello", params), []
        for num_steps, goal in ((8, 8), (8, 16), (4, 20)):
            runner.leave.release(num_steps)
            await until(lambda goal=goal: stream._driver.tally.num_steps == goal)
            batches.append(await stream.read())
        return batches, await stream.output()

    with AsyncLLM(small_llm(runner=runner)) as llm:
        batches, output = asyncio.run(read_slowly(llm))
    assert [len(batch) for batch in batches] == [1, 8, 11]  # none come until the last are taken
    assert [piece.token_id for batch in batches for piece in batch] == output.token_ids
    assert "".join(piece.text for batch in batches for piece in batch) == output.text


class Apart(Pace):
    """Nobody's second turn ever comes."""

    def next_turn(self, now: float, num_readers: int, *, is_first: bool) -> float:
        return float("inf")


def test_between_turns_tokens_lie_and_the_first_and_the_end_do_not():
    runner = SlowRunner(16, 4)

    async def read(llm):
        await llm.between_steps(lambda driver: setattr(driver, "_pace", Apart()))
        stream = llm.stream("hello", SamplingParams(temperature=0, max_tokens=20, ignore_eos=True))
        runner.leave.release(1)
        first = await stream.read()
        runner.leave.release(9)
        await until(lambda: runner.num_launches == 11)  # the tenth step's tokens are handed out
        await asyncio.sleep(0.05)
        assert not stream._mailbox.pieces
        runner.leave.release(10)
        return [first, await stream.read()], await stream.output()

    with AsyncLLM(small_llm(runner=runner)) as llm:
        batches, output = asyncio.run(read(llm))
        metrics = llm.metrics()
    assert [len(batch) for batch in batches] == [1, 19]
    assert [piece.token_id for batch in batches for piece in batch] == output.token_ids
    assert (metrics.num_generated_tokens, metrics.inter_token_time.count) == (20, 19)


def test_tokens_that_lie_when_their_reader_leaves_are_counted():
    runner = SlowRunner(16, 4)

    async def leave_early(llm):
        await llm.between_steps(lambda driver: setattr(driver, "_pace", Apart()))
        stream = llm.stream("hello", ENDLESS)
        runner.leave.release(5)
        await until(lambda: stream._driver.tally.num_steps == 5)
        assert len(await stream.read()) == 1
        stream.cancel()
        runner.leave.release(1)  # the step that is on its way
        await until(lambda: not llm.num_unfinished)
        return llm.metrics()

    with AsyncLLM(small_llm(runner=runner)) as llm:
        metrics = asyncio.run(leave_early(llm))
    assert metrics.num_generated_tokens == metrics.num_steps == 6


def test_tokens_that_were_not_read_come_before_the_error_of_a_step():
    async def read_late(llm):
        advance, steps = llm.llm.engine.advance, iter(range(6))

        class FailsInTheSeventhStep:
            abort_request = llm.llm.engine.abort_request

            def advance(self, depth=0):
                if next(steps, None) is None:
                    raise RuntimeError("out of order")
                return advance(depth)

        stepper = FailsInTheSeventhStep()
        await llm.between_steps(lambda driver: setattr(driver, "stepper", stepper))
        stream = llm.stream("hello", SamplingParams(temperature=0, max_tokens=40))
        while not stream._mailbox.is_over:
            await asyncio.sleep(0.001)
        pieces = await stream.read()
        with pytest.raises(StepFailedError):
            await stream.read()
        return pieces

    with AsyncLLM(small_llm()) as llm:
        pieces = asyncio.run(read_late(llm))
    assert [piece.token_id for piece in pieces] == right([*map(ord, "hello")], GREEDY)[:6]
