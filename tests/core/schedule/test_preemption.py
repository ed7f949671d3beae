from typing import Any

import pytest

from nanovllm_edu.core.events import Preempted
from nanovllm_edu.core.request.sequence import SequenceStatus
from nanovllm_edu.core.schedule.policy import MixedPolicy
from nanovllm_edu.errors import ConfigError
from tests.core.sequences import request
from tests.core.steps import add, scheduler, step, work


def test_the_latest_comer_is_preempted_and_resumes_first_with_its_tokens() -> None:
    engine = scheduler(num_blocks=4, max_num_batched_tokens=100)
    first, second = add(engine, [1] * 8, [2] * 6)
    step(engine)
    third = add(engine, [3])[0]
    plan = step(engine)[0]
    assert plan.preempted == (1,)
    assert list(engine.waiting) == [1, 2]
    assert second.status is SequenceStatus.WAITING
    assert list(second.token_ids) == [2] * 6 + [99]
    assert plan.blocked is not None
    assert plan.blocked.seq_id == 1
    lost = next(event for event in plan.events if isinstance(event, Preempted))
    assert (lost.for_seq_id, lost.num_lost_tokens, lost.num_blocks) == (0, 6, 2)
    engine.abort(first.seq_id)
    assert work(step(engine)[0]) == [(1, 4, 7), (2, 0, 1)]  # its first block was still cached
    assert third.status is SequenceStatus.RUNNING


def test_a_victim_that_was_not_a_candidate_is_an_error_and_the_plan_is_taken_back() -> None:
    class WrongVictim(MixedPolicy):
        def victim(self, candidates: Any) -> Any:
            return request(9, [1])

    engine = scheduler(num_blocks=2, max_num_batched_tokens=100, policy=WrongVictim())
    add(engine, [1] * 4, [2] * 4)
    step(engine)
    with pytest.raises(ConfigError, match="not one of the 1 candidates"):
        engine.plan()
    engine.check_invariants()
    engine.policy = MixedPolicy()
    assert step(engine)[0].preempted == (1,)
