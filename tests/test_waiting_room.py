"""Whoever waits too long is turned away, so that an overloaded server still serves."""

import asyncio
from random import Random

import pytest

from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import ConfigError, OverloadedError, TooBusyError
from nanovllm_edu.lessons.checks import checksum_engine
from nanovllm_edu.lessons.clock import Arrival, Served, StepCost, serve
from nanovllm_edu.waiting_room import WaitingRoom
from tests.engine.slow_runner import SlowRunner
from tests.proof.small_llm import small_llm

SLO_MS = 1000.0
"""Longest time to the first token."""


def test_guests_are_overdue_once_and_in_order():
    room: WaitingRoom[str] = WaitingRoom(2.0)
    for now, guest in enumerate("abc"):
        room.enter(guest, float(now))
    assert list(room.overdue(2.0)) == []
    assert list(room.overdue(3.5)) == ["a", "b"]
    assert list(room.overdue(3.5)) == []
    assert list(room.overdue(99.0)) == ["c"]


def test_without_a_limit_nobody_ever_is():
    room: WaitingRoom[str] = WaitingRoom()
    room.enter("a", 0.0)
    assert list(room.overdue(1e9)) == []


# ------------------------------------------------------------------ on a pretended clock


def under_load(rate: float, max_queue_seconds: float | None, seconds: float = 20.0) -> Served:
    """A server of four places that can do about 9.5 requests a second."""
    random, now, arrivals = Random(3), 0.0, []
    while now < 1000 * seconds:
        prompt = [random.randrange(1000) for _ in range(20)]
        arrivals.append(Arrival(now, prompt, 30))
        now += 1000 * random.expovariate(rate)
    engine = checksum_engine(64, 8, max_num_seqs=4)
    cost = StepCost(step_ms=13.0, token_ms=0.1)
    return serve(engine, arrivals, cost, 20_000, room=WaitingRoom(max_queue_seconds))


def goodput(served: Served, seconds: float = 20.0) -> float:
    """Requests a second whose first token was in time."""
    return sum(served.ttft(seq_id) <= SLO_MS for seq_id in served.token_ms) / seconds


def test_goodput_at_twice_the_capacity_is_within_10_percent_of_its_peak():
    rates = (7.5, 9.0, 10.5, 19.0)
    turning_away = [goodput(under_load(rate, 0.8)) for rate in rates]
    letting_wait = [goodput(under_load(rate, None)) for rate in (9.0, 19.0)]
    assert turning_away[-1] >= 0.9 * max(turning_away)
    assert max(turning_away) >= max(letting_wait)
    assert letting_wait[-1] < 0.2 * max(letting_wait)  # busy all the time, and of use to nobody


def test_below_capacity_nobody_is_turned_away():
    alone, free = under_load(5.0, 0.8), under_load(5.0, None)
    assert alone.token_ms == free.token_ms


def test_those_who_were_turned_away_have_cost_nothing():
    served = under_load(19.0, 0.8)
    turned_away = served.arrived_ms.keys() - served.token_ms.keys()
    assert len(turned_away) > 100
    assert (
        not {seq_id for record in served.records for seq_id in record.spans.seq_ids} & turned_away
    )
    assert all(served.ttft(seq_id) <= SLO_MS for seq_id in served.token_ms)


# ------------------------------------------------------------------------- on an AsyncLLM


GREEDY = SamplingParams(temperature=0, max_tokens=3)


def test_who_waits_in_vain_is_turned_away_and_the_others_are_served():
    async def main() -> None:
        runner = SlowRunner(16, 4)
        with AsyncLLM(small_llm(0, runner, max_num_seqs=1), max_queue_seconds=0.05) as llm:
            first = asyncio.create_task(llm.generate([1, 2, 3], GREEDY))
            while not runner.num_launches:
                await asyncio.sleep(0.001)
            second = asyncio.create_task(llm.generate([4, 5, 6], GREEDY))
            await asyncio.sleep(0.1)  # the step that runs takes this long
            for _ in range(3):
                runner.leave.release()
            with pytest.raises(OverloadedError, match=r"max_queue_seconds=0\.05") as caught:
                await second
            assert isinstance(caught.value, TooBusyError)
            assert caught.value.retry_seconds == 0.05
            assert len((await first).token_ids) == 3
            metrics = llm.metrics()
            assert (metrics.num_finished["overdue"], metrics.num_finished["length"]) == (1, 1)
            assert metrics.num_used_blocks == metrics.num_waiting == metrics.num_running == 0

    asyncio.run(main())


def test_who_has_begun_is_not_turned_away_however_long_it_takes():
    async def main() -> None:
        runner = SlowRunner(16, 4)
        with AsyncLLM(small_llm(0, runner), max_queue_seconds=0.02) as llm:
            answer = asyncio.create_task(llm.generate([1, 2, 3], GREEDY))
            for _ in range(3):
                await asyncio.sleep(0.03)
                runner.leave.release()
            assert len((await answer).token_ids) == 3

    asyncio.run(main())


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float):
    with pytest.raises(ConfigError, match="max_queue_seconds"):
        AsyncLLM(small_llm(), max_queue_seconds=seconds)
