"""A thousand random workloads: right tokens, books that balance after every step, no leak."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from nanovllm_edu.core.events import EVENT_TYPES, DraftVerified
from tests.engine.faulty_runner import DeviceFailure, FaultyRunner
from tests.engine.workloads import (
    Outcome,
    Parts,
    build_engine,
    check_end,
    check_step,
    drive,
    random_workload,
    run_workload,
)

NUM_WORKLOADS = 1000
BATCH = 50


@pytest.mark.parametrize("first", range(0, NUM_WORKLOADS, BATCH))
def test_tokens_are_the_references_and_nothing_leaks(first: int) -> None:
    for seed in range(first, first + BATCH):
        run_workload(random_workload(seed))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_the_same_at_every_depth(depth: int) -> None:
    for seed in range(2000, 2030):
        run_workload(replace(random_workload(seed), depth=depth))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_device_that_fails_at_random_costs_time_and_no_token(depth: int) -> None:
    num_failures = 0
    for seed in range(3000, 3025):
        workload = replace(random_workload(seed), depth=depth)
        engine, outcome = build_engine(workload, Parts(runner=FaultyRunner)), Outcome()
        runner, random = engine.runner, Random(seed)
        assert isinstance(runner, FaultyRunner)
        runner.fail(in_launch=random.sample(range(30), 3), in_wait=random.sample(range(30), 3))
        for record in drive(engine, workload, outcome, retries=(DeviceFailure,)):
            check_step(engine, record)
        check_end(engine, outcome)
        num_failures += sum(i < runner.num_launches for i in runner.in_launch | runner.in_wait)
    assert num_failures > 25


def test_the_workloads_are_worth_their_time() -> None:
    """Every mechanism is at work in them, many times."""
    events: Counter[str] = Counter()
    blocked: Counter[str] = Counter()
    num_hits = num_aborts = num_accepted = num_rejected = 0
    for seed in range(200):
        outcome = run_workload(random_workload(seed))
        num_aborts += len(outcome.aborted)
        for record in outcome.records:
            events.update(type(event).__name__ for event in record.events)
            num_hits += sum(getattr(event, "num_cached_tokens", 0) > 0 for event in record.events)
            verified = [e for e in record.events if isinstance(e, DraftVerified)]
            num_accepted += sum(event.num_accepted for event in verified)
            num_rejected += sum(len(e.drafted) > e.num_accepted for e in verified)
            blocked.update([record.blocked.resource] if record.blocked else [])
    assert set(events) == set(EVENT_TYPES)
    assert set(blocked) == {"budget", "rows", "blocks", "in_flight", "prompt"}
    assert min(events.values()) > 50, events
    assert min(blocked.values()) >= 5, blocked
    assert num_hits > 200
    assert num_aborts > 20
    assert min(num_accepted, num_rejected) > 200


def test_a_workload_is_the_same_each_time() -> None:
    assert run_workload(random_workload(5)).records == run_workload(random_workload(5)).records
