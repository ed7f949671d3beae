from typing import Any

import pytest

from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.errors import ConfigError
from tests.core.sequences import request
from tests.core.steps import add, scheduler, step, work


def test_a_long_prompt_is_cut_by_the_budget_and_only_its_last_chunk_samples() -> None:
    engine = scheduler(max_num_batched_tokens=3)
    add(engine, list(range(7)))
    plans = [step(engine)[0] for _ in range(3)]
    assert [work(plan) for plan in plans] == [[(0, 0, 3)], [(0, 3, 6)], [(0, 6, 7)]]
    assert [plan.chunks[0].samples for plan in plans] == [False, False, True]


def test_mixed_fills_with_prompts_what_decodes_leave_of_the_budget() -> None:
    engine = scheduler(max_num_batched_tokens=6)
    add(engine, [1, 2])
    step(engine)
    add(engine, list(range(10, 20)))
    assert work(step(engine)[0]) == [(0, 2, 3), (1, 0, 5)]


def test_phase_separated_never_mixes() -> None:
    engine = scheduler(policy=PhaseSeparatedPolicy())
    add(engine, [1, 2])
    step(engine)
    add(engine, [5, 6, 7])
    assert [work(step(engine)[0]) for _ in range(2)] == [[(1, 0, 3)], [(0, 2, 3), (1, 3, 4)]]


def test_running_sequences_go_on_when_a_policy_names_the_blocked_one_first() -> None:
    class WaitingFirst(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return [[*waiting, *running]]

    engine = scheduler(max_num_seqs=1, policy=WaitingFirst())
    add(engine, [1], [2])
    step(engine)
    assert work(step(engine)[0]) == [(0, 1, 2)]


@pytest.mark.parametrize(
    "answer",
    [None, 3, [None], [[3]], "sequences"],
    ids=["nothing", "a number", "no group", "no sequence", "text"],
)
def test_a_policy_that_returns_nonsense_is_an_error_that_says_what_to_return(answer: Any) -> None:
    class Nonsense(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return answer

    engine = scheduler(policy=Nonsense())
    add(engine, [1])
    with pytest.raises(ConfigError, match=r"return a list of groups"):
        engine.plan()
    engine.policy = MixedPolicy()
    assert work(step(engine)[0]) == [(0, 0, 1)]


def test_a_flat_list_of_sequences_is_told_from_groups() -> None:
    class Flat(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return [*running, *waiting]

    engine = scheduler(policy=Flat())
    add(engine, [1])
    with pytest.raises(ConfigError, match="list of groups"):
        engine.plan()


def test_sequences_of_another_engine_are_not_touched() -> None:
    stranger = request(0, [7, 7])

    class Confused(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return [[stranger, *running, *waiting, *waiting]]

    engine = scheduler(policy=Confused())
    add(engine, [1, 2, 3])
    assert work(step(engine)[0]) == [(0, 0, 3)]
    assert not stranger.block_table
