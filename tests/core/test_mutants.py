"""Each seeded bug is caught by a random workload, which the unmutated code passes."""

from functools import cache

import pytest

from tests.core.mutants import MUTANTS, THE_EIGHT
from tests.engine.workloads import Parts, Workload, random_workload, run_workload

WORKLOADS = range(150)


@cache
def workload(seed: int) -> Workload:
    return random_workload(seed)


def first_failure(parts: Parts, *, checks_steps: bool) -> int | None:
    """The first workload that goes wrong, by its own checks or by an exception of the engine."""
    for seed in WORKLOADS:
        try:
            run_workload(workload(seed), parts, checks_steps=checks_steps)
        except Exception:
            return seed
    return None


@pytest.mark.parametrize("parts", MUTANTS.values(), ids=MUTANTS)
def test_a_seeded_bug_is_caught_and_the_right_code_passes_the_same_workload(parts: Parts) -> None:
    seed = first_failure(parts, checks_steps=True)
    assert seed is not None, f"none of {len(WORKLOADS)} workloads catches it"
    run_workload(workload(seed))


@pytest.mark.parametrize("parts", THE_EIGHT.values(), ids=THE_EIGHT)
def test_the_eight_also_show_without_the_invariants(parts: Parts) -> None:
    assert first_failure(parts, checks_steps=False) is not None


def test_every_mutant_changes_exactly_one_part() -> None:
    for parts in MUTANTS.values():
        changed = [part for part in vars(parts).values() if part not in vars(Parts()).values()]
        assert len(changed) == 1
        assert changed[0].__doc__
