"""Interrupts, at every line: no contradiction, no ghost, no lost token, and the next run is right.

Here it is every 29th of some 65,000 lines, and two interrupts shortly after one another; all of
them: `python benchmarks/soak.py --interrupts`.
"""

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from nanovllm_edu.core.memory.eviction import LRU
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import MixedPolicy
from nanovllm_edu.llm import LLM
from nanovllm_edu.shield import Shield
from tests.proof.books import check_idle
from tests.proof.interrupts import Injector
from tests.proof.scenarios import (
    GREEDY,
    PROMPTS,
    RIGHT,
    SCENARIOS,
    SHAPES,
    Stage,
    check,
    interrupt,
    num_lines,
)
from tests.proof.small_llm import small_llm

STRIDE = 29


@pytest.fixture(autouse=True)
def no_callbacks() -> Iterator[None]:
    """Python swallows an interrupt that comes in a callback of the garbage collector.

    Ours has none, but a test library may have put one there.
    """
    others = list(gc.callbacks)
    gc.callbacks.clear()
    yield
    gc.callbacks.extend(others)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_interrupt_before_any_line_leaves_everything_whole(scenario: str, shape: str) -> None:
    places = {
        interrupt(scenario, shape, line)
        for line in range(1, num_lines(scenario, shape) + 1, STRIDE)
    }
    assert len(places) > 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_second_interrupt_on_the_heels_of_the_first_changes_nothing(seed: int) -> None:
    random = Random(seed)
    for shape in SHAPES:
        lines = num_lines("generate", shape)
        for _ in range(12):
            line = random.randint(1, lines)
            interrupt("generate", shape, line, line + random.choice((1, 2, 3, 9, 40)))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_real_stop_button_at_125_moments(shape: str) -> None:
    random = Random(shape)
    for _ in range(125):
        stage = Stage(shape)
        _press_stop_during(random.uniform(0, 0.008), lambda stage=stage: stage.llm.generate(
            PROMPTS, GREEDY, use_tqdm=False
        ))  # fmt: skip
        told = {output.request_id: output.token_ids for output in stage.llm.interrupted()}
        assert all(stage.settled.get(seq_id, []) == ids for seq_id, ids in told.items())
        stage.settled = {seq_id: stage.settled[seq_id] for seq_id in told if told[seq_id]}
        check(stage, KeyboardInterrupt())


def _press_stop_during(delay: float, work: Any) -> None:
    """Works again and again, until the signal comes."""

    def press() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    button = threading.Thread(target=press)
    try:
        button.start()
        end = time.perf_counter() + delay + 5
        while time.perf_counter() < end:
            work()
        raise AssertionError("the interrupt was swallowed")
    except KeyboardInterrupt:
        button.join()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_real_stop_button_on_the_model_in_the_box(seed: int) -> None:
    """100 times each."""
    llm, random = LLM("tiny", block_size=4, num_blocks=64), Random(seed)
    prompts: list[Any] = ["Once upon a time", "The cat", "Once upon a dog"]
    right = [output.token_ids for output in llm.generate(prompts, GREEDY, use_tqdm=False)]
    for _ in range(100):
        _press_stop_during(
            random.uniform(0, 0.05), lambda: llm.generate(prompts, GREEDY, use_tqdm=False)
        )
        for output in llm.interrupted():
            assert output.token_ids == right[prompts.index(output.prompt)][: len(output.token_ids)]
        llm.engine.scheduler.check_invariants()
        assert not llm.engine.has_unfinished_requests()
        outputs = llm.generate(prompts, GREEDY, use_tqdm=False)
        assert [output.token_ids for output in outputs] == right
    llm.close()


def test_what_was_done_can_be_read_although_the_interrupt_came_on_the_way_out() -> None:
    """The last line before `generate` returns: all is generated, and nothing is returned."""
    lines = num_lines("generate", "plain")
    late = [Stage("plain") for _ in range(6)]
    for number, stage in enumerate(late):
        with pytest.raises(KeyboardInterrupt), Injector(lines - number):
            SCENARIOS["generate"](stage)
        outputs = stage.llm.interrupted()
        assert [output.token_ids for output in outputs] == [RIGHT[tuple(p)] for p in PROMPTS]
        assert {output.finish_reason for output in outputs} == {"length"}


# ------------------------------------------------------------------------- the shield


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), Shield():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        with Shield():
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_open_one_lets_it_through_and_what_follows_is_shielded_again() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), Shield() as shield:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        try:
            shield.open_for(done.append, "never")
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)  # the second one waits
            done.append("put right")
            raise
    assert done == ["put right"]


def test_a_shield_inside_an_open_one_holds() -> None:
    done = []

    def work() -> None:
        with Shield():
            signal.raise_signal(signal.SIGINT)
            done.append("whole")
        done.append("never")

    with pytest.raises(KeyboardInterrupt), Shield() as shield:
        shield.open_for(work)
    assert done == ["whole"]


def test_a_handler_that_does_not_raise_is_called_and_it_stays_open() -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        with Shield() as shield:
            shield.open_for(signal.raise_signal, signal.SIGINT)
            assert len(calls) == 1
            shield.open_for(lambda: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
            assert len(calls) == 3
    finally:
        signal.signal(signal.SIGINT, before)


class _RefusesToPush(LRU):
    def push(self, block_id: int) -> None:
        raise ZeroDivisionError("a policy's own mistake")


def test_the_stop_button_works_after_a_policy_raised_where_a_verb_ends() -> None:
    """Whoever leaves ends what was dropped meanwhile; if that raises, the shield is gone too."""
    engine = small_llm(eviction_policy=_RefusesToPush).engine
    (seq,) = engine.add_requests([(PROMPTS[0], GREEDY)])
    engine.step()
    with pytest.raises(ZeroDivisionError), engine.exclusive():
        engine.drop([seq])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ------------------------------------------------------------------- dropped streams


class _Collects(MixedPolicy):
    """Collects garbage in the middle of a plan."""

    def order(self, running: tuple[Sequence, ...], waiting: tuple[Sequence, ...]) -> Any:
        gc.collect(1)
        return super().order(running, waiting)

    def victim(self, candidates: list[Sequence]) -> Sequence:
        gc.collect(1)
        return super().victim(candidates)


def test_a_stream_that_is_collected_in_the_middle_of_a_plan_ends_after_it() -> None:
    """A dropped stream in a circle of references is closed whenever the collector comes by."""
    llm = small_llm(num_blocks=6, policy=_Collects())
    for _ in range(2):
        circle: list[Any] = [llm.stream(PROMPTS[1:], GREEDY)]
        next(circle[0])
        circle.append(circle)
        del circle
        (output,) = llm.generate([PROMPTS[0]], GREEDY, use_tqdm=False)
        assert output.token_ids == RIGHT[tuple(PROMPTS[0])]
        check_idle_but_for_steps(llm)


def check_idle_but_for_steps(llm: LLM) -> None:
    while llm.engine.num_steps_in_flight:
        llm.engine.step()
    assert not llm.engine.has_unfinished_requests()
    llm.engine.scheduler.check_invariants()


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_whoever_ends_last_leaves_nothing_in_flight(depth: int) -> None:
    """So the engine can be forked after `generate`, however far it planned ahead."""
    llm = small_llm(depth)
    llm.generate(PROMPTS, GREEDY, use_tqdm=False)
    list(llm.stream(PROMPTS, GREEDY))
    assert llm.engine.num_steps_in_flight == 0
    check_idle(llm.engine)
    llm.engine.fork()
