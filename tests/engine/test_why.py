"""Each decision carries its reason, with the numbers that made it."""

from typing import Any

import pytest

from nanovllm_edu.core.events import Event
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens
from tests.core.steps import Guesses
from tests.engine.engines import GREEDY, LONG, engine, finish


def whys(records: list[StepRecord], kind: str) -> list[str]:
    return [e.why for r in records for e in r.events if type(e).__name__ == kind]


def steps(llm: LLMEngine, num_steps: int) -> list[StepRecord]:
    return [llm.step() for _ in range(num_steps)]


# -------------------------------------------------------------------------- admission


def test_why_a_sequence_was_admitted() -> None:
    llm = engine(max_num_batched_tokens=10)
    llm.add_request(list(range(1, 13)), GREEDY)
    assert whys(steps(llm, 1), "Admitted") == [
        "seq 0 is admitted to row 0: 0 of its 12 tokens are cached, the other ones need 3 of 32 "
        "free blocks, and 10 fit the token budget of 10 now"
    ]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ([7, 7, 7, 7, 7], "seq 1 finds nothing cached; the match stops at block 0: no block has"),
        (
            [1, 2, 3, 4, 5, 6, 7, 8],
            "seq 1 finds its first 4 tokens cached; the match stops at block 1: the last token "
            "must be computed",
        ),
        (
            [1, 2, 3, 4, 5, 6],
            "first 4 tokens cached; the match stops at block 1: the rest, 2 of 4 tokens, does not",
        ),
        ([1, 2, 3, 4, 9, 9, 9, 9, 9], "at block 1: no block has its hash (never computed, or"),
    ],
)
def test_where_a_prefix_match_stopped_and_why(prompt: list[int], reason: str) -> None:
    llm = engine()
    llm.add_request(list(range(1, 10)), GREEDY)
    llm.step()
    llm.add_request(prompt, GREEDY)
    assert reason in whys(steps(llm, 1), "PrefixHit")[0]


def test_with_the_cache_off_a_match_says_so() -> None:
    llm = engine(enable_prefix_caching=False)
    llm.add_request([1, 2, 3], GREEDY)
    assert "prefix caching is off" in whys(steps(llm, 1), "PrefixHit")[0]


# ---------------------------------------------------------------------------- waiting


def blocked(llm: LLMEngine, record: StepRecord) -> tuple[str, int, int]:
    assert record.blocked is not None
    assert record.blocked.why.startswith(f"seq {record.waiting[0]} waits: ")
    return record.blocked.resource, record.blocked.needed, record.blocked.available


def test_why_one_waits_for_budget() -> None:
    llm = engine(max_num_batched_tokens=8)
    llm.add_request([1] * 8, GREEDY)
    llm.add_request([2], GREEDY)
    record = llm.step()
    assert blocked(llm, record) == ("budget", 1, 0)
    assert "0 of 8 (max_num_batched_tokens) are left" in record.blocked.why  # type: ignore[union-attr]


def test_why_one_waits_for_a_row() -> None:
    llm = engine(max_num_seqs=1)
    llm.add_request([1] * 8, GREEDY)
    llm.add_request([2], GREEDY)
    record = llm.step()
    assert blocked(llm, record) == ("rows", 1, 0)
    assert "all 1 rows (max_num_seqs) are taken" in record.blocked.why  # type: ignore[union-attr]


def test_why_one_waits_for_blocks() -> None:
    llm = engine(num_blocks=4)
    llm.add_request([1] * 8, GREEDY)
    llm.add_request([2] * 9, GREEDY)
    record = llm.step()
    assert blocked(llm, record) == ("blocks", 3, 2)
    assert "3 new blocks of 4 tokens, and 2 of 4 are free" in record.blocked.why  # type: ignore[union-attr]


def test_why_one_waits_for_its_phase() -> None:
    class DecodeFirst(PhaseSeparatedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return list(super().order(running, waiting))[::-1]

    llm = engine(policy=DecodeFirst())
    llm.add_request([1], GREEDY)
    llm.step()
    llm.add_request([2], GREEDY)
    record = llm.step()
    assert blocked(llm, record)[0] == "phase"
    assert "DecodeFirst gives this step to others" in record.blocked.why  # type: ignore[union-attr]


def test_why_one_waits_for_its_token_in_flight() -> None:
    llm = engine(num_blocks=3, max_model_len=12)
    for _ in range(2):
        llm.add_request([1] * 4, LONG)
    reasons = [r.blocked.why for r in llm.run(2) if r.blocked and r.blocked.resource == "in_flight"]
    assert reasons[0] == (
        "seq 1 waits: its newest token is still in flight and must arrive before it is recomputed"
    )


def test_nobody_waits_without_a_reason() -> None:
    llm = engine(num_blocks=6, max_num_seqs=2, max_num_batched_tokens=7)
    for length in (5, 11, 3, 8, 14, 2):
        llm.add_request([length] * length, GREEDY)
    for record in finish(llm):
        assert (record.blocked is not None) == bool(record.waiting)


# ------------------------------------------------------------- blocks, preemption, ends


def two_that_do_not_fit() -> list[StepRecord]:
    llm = engine(num_blocks=4)
    llm.add_request([1] * 8, LONG)
    llm.add_request([2] * 6, LONG)
    return steps(llm, 2)


def test_why_a_sequence_was_preempted_and_for_whom() -> None:
    records = two_that_do_not_fit()
    assert whys(records, "Preempted") == [
        "seq 1 is preempted and gives back 2 blocks (6 computed tokens, to be found again or "
        "recomputed): seq 0 needs a block and none is free; MixedPolicy chose this one"
    ]
    assert records[1].preempted == (1,)
    assert records[1].blocked is not None
    assert "it was preempted in this step" in records[1].blocked.why


def test_why_a_sequence_preempted_itself() -> None:
    class LastFirst(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            return [[*waiting, *running[::-1]]]

    llm = engine(num_blocks=4, policy=LastFirst())
    llm.add_request([1] * 8, LONG)
    llm.add_request([2] * 7, LONG)
    assert "all the others are in this step already" in whys(steps(llm, 2), "Preempted")[0]


def test_why_a_block_was_allocated_now() -> None:
    records = two_that_do_not_fit()
    assert whys(records[1:], "BlocksAllocated") == [
        "seq 0 gets block 3 from its block 2 on, because its tokens up to 9 pass the end of the 2 "
        "blocks it has"
    ]


def test_why_a_block_was_evicted_cached_and_freed() -> None:
    llm = engine(num_blocks=4)
    llm.add_request([1, 2, 3, 4, 5], SamplingParams(max_tokens=1))
    record = llm.step()
    cached = next(e.to_dict() for e in record.events if type(e).__name__ == "BlocksCached")
    (key,) = cached["hashes"]
    assert f"found by hash {key}" in cached["why"]
    assert whys([record], "BlocksFreed") == [
        "seq 0 gives back blocks 1, 0: 1 free but findable until evicted, 1 free and blank"
    ]
    llm.add_request([9] * 15, GREEDY)
    assert whys(steps(llm, 1), "BlockEvicted") == [
        f"block 0 forgets its content (hash {key}): seq 1 needs a block, none is "
        "blank, and it is first in line by LRU"
    ]


@pytest.mark.parametrize(
    ("params", "end", "why"),
    [
        ({"max_tokens": 1}, None, "(reason 'length': max_tokens=1 reached)"),
        ({"max_tokens": 99}, "model", "(reason 'length': max_model_len=4 reached)"),
        ({"max_tokens": 9}, "eos", "means end of sequence)"),
        ({"max_tokens": 9}, "stop", "is one of its stop_token_ids)"),
    ],
)
def test_why_a_sequence_finished(params: dict[str, Any], end: str | None, why: str) -> None:
    first = expected_tokens([1, 2, 3], GREEDY, 0)[0]
    runner = ChecksumRunner(32, 4, eos_token_ids=frozenset({first} if end == "eos" else ()))
    llm = engine(runner, max_model_len=4 if end == "model" else None)
    stops = (first,) if end == "stop" else ()
    llm.add_request([1, 2, 3], SamplingParams(temperature=0, stop_token_ids=stops, **params))
    assert why in whys(finish(llm), "Finished")[0]


def test_why_an_aborted_sequence_ended() -> None:
    llm = engine()
    events: tuple[Event, ...] = llm.abort_request(llm.add_request([1, 2]))
    assert events[0].why == "seq 0 is finished with 2 tokens (reason 'abort': it was aborted)"


def test_every_token_is_where_its_span_ends() -> None:
    """A token needs no event: the record has its value and its span its position."""
    llm = engine()
    llm.add_request([1, 2, 3], GREEDY)
    tokens = expected_tokens([1, 2, 3], GREEDY, 0)
    records = steps(llm, 3)
    assert [(r.spans[0].end, r.new_tokens) for r in records] == [
        (3 + i, {0: (token,)}) for i, token in enumerate(tokens[:3])
    ]


def test_why_a_guess_was_rejected_and_its_block_given_back() -> None:
    tokens = expected_tokens([1, 2, 3], GREEDY, 0)
    guesses = (tokens[1], tokens[2] + 1, 5, 6, 7)
    llm = engine(draft_proposer=Guesses(*guesses))
    llm.add_request([1, 2, 3], LONG)
    record = steps(llm, 2)[1]
    assert whys([record], "DraftVerified") == [
        f"seq 0: 1 of 5 guessed tokens accepted; at position 5 the guess was {tokens[2] + 1} and "
        f"the model says {tokens[2]}"
    ]
    assert record.new_tokens == {0: (tokens[1], tokens[2])}
    assert whys([record], "BlocksFreed") == ["seq 0 gives back block 2: free and blank"]
    kinds = [type(event).__name__ for event in record.effects]
    assert kinds.index("DraftVerified") == 0


def test_why_a_prompt_leaves_the_tree() -> None:
    llm = engine(prefix_cache="radix")
    llm.add_request([1, 2, 3, 4, 5, 6, 7, 8, 9], GREEDY)
    llm.step()
    llm.add_request([1, 2, 3, 4, 5, 6, 0, 0, 0], GREEDY)
    assert whys(steps(llm, 1), "PrefixHit") == [
        "seq 1 finds its first 4 tokens cached; the match stops at block 1: block 1 has its first "
        "2 of 4 tokens and then others, and a block is shared whole or not at all"
    ]


def test_why_one_is_not_planned_ahead_when_guesses_follow_from_its_token() -> None:
    llm = engine(draft_proposer=Guesses(1))
    llm.add_request([1, 2], GREEDY)
    llm.add_request([2] * 5, GREEDY)
    llm.scheduler.max_num_batched_tokens = 4
    blocked = [record.blocked for record in llm.run(1) if record.blocked]
    assert any(
        b.why == "seq 0 waits: its newest token is still in flight, and what is guessed follows "
        "from it"
        for b in blocked
    )
