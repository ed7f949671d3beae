"""A plan that names what a device does not have never reaches it."""

from dataclasses import replace
from typing import Any

import pytest

from nanovllm_edu.core.plan import (
    BlockCopy,
    BlockRef,
    BlockUpdate,
    Joined,
    RowMasks,
    SamplingUpdate,
    Span,
    Spans,
    StepPlan,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import WireError
from nanovllm_edu.wire.bounds import check_plan
from nanovllm_edu.wire.messages import Hello

DEVICE = Hello(
    model="small", num_blocks=8, block_size=4, vocab_size=100, max_model_len=30, max_num_seqs=3,
    max_num_batched_tokens=20, prefill_chunk_size=None, eos_token_ids=(), choices={},
)  # fmt: skip
JOINED = Joined(5, 2, (99, 0, 7), 3, SamplingParams(), 0)
UPDATE = BlockUpdate(0, 2, 7, (7,))
COPY = BlockCopy(BlockRef(0, 0), BlockRef(0, 7))
MASKS = RowMasks(6, 0, (bytes(13), bytes(13)))  # a bit for each of 100 tokens, at two positions
PLAN = StepPlan(
    4,
    Spans([Span(5, 2, 0, 3), Span(6, 0, 28, 2, (1, 99), 1)]),
    (JOINED,),
    (0, 1, 2),
    (SamplingUpdate(6, 0, SamplingParams(stop_token_ids=(99,), logit_bias={99: 1})),),
    (UPDATE,),
    (COPY,),
    masks=(MASKS,),
)


def sampled(**options: Any) -> dict[str, Any]:
    return {"sampling_updates": (SamplingUpdate(6, 0, SamplingParams(**options)),)}


def spans(*columns: Any) -> dict[str, Any]:
    return {"spans": Spans([Span(*columns)])}


def test_what_is_the_last_of_everything_is_allowed() -> None:
    check_plan(PLAN, DEVICE)
    check_plan(StepPlan(0), DEVICE)


@pytest.mark.parametrize(
    "change, what",
    [
        ({"left": (3,)}, "3 rows"),
        ({"left": (-1,)}, "names -1"),
        (spans(1, 3, 0, 1), "3 rows"),
        (spans(1, 0, 30, 1), "31 positions"),
        (spans(1, 0, 2**31 - 1, 2**31 - 1), "positions"),
        (spans(1, 0, 0, 21), "21 tokens of a step"),
        (spans(1, 0, 0, 0), "a span of 0 tokens"),
        (spans(1, 0, 0, 1, (100,)), "100 tokens"),
        (spans(1, 0, 0, 2, (1,), 1), "2 tokens has 1 guesses and 1 values"),
        (spans(1, 0, 0, 2, (1, 2), 2), "2 guesses"),
        ({"spans": Spans([Span(1, 0, 0, 1), Span(2, 0, 1, 1)])}, "one row twice"),
        ({"joined": (JOINED._replace(row=3),)}, "3 rows"),
        ({"joined": (JOINED._replace(token_ids=(1, 100)),)}, "100 tokens"),
        ({"joined": (JOINED._replace(token_ids=(1,) * 31),)}, "31 positions"),
        ({"joined": (JOINED._replace(num_prompt_tokens=4),)}, "tokens of a sequence"),
        ({"joined": (JOINED._replace(sampling=SamplingParams(stop_token_ids=(100,))),)}, "100"),
        (sampled(allowed_token_ids=[1, 100]), "100 tokens"),
        (sampled(logit_bias={100: 1}), "100 tokens"),
        (sampled(bad_words_token_ids=[[1], [2, 100]]), "100 tokens"),
        ({"block_updates": (UPDATE._replace(row=-1),)}, "3 rows"),
        ({"block_updates": (UPDATE._replace(group=1),)}, "1 groups"),
        ({"block_updates": (UPDATE._replace(block_ids=(8,)),)}, "8 blocks"),
        ({"block_updates": (UPDATE._replace(block_ids=(1, 2)),)}, "table entries"),
        ({"masks": (MASKS._replace(row=3),)}, "3 rows"),
        ({"masks": (MASKS._replace(row=1),)}, "row 1, which samples 0 times"),
        (
            {"masks": (MASKS._replace(masks=(bytes(13),)),)},
            "1 masks for row 0, which samples 2 times",
        ),
        (
            {"masks": (MASKS._replace(masks=(bytes(13), bytes(12))),)},
            r"masks of \[12, 13\] bytes",
        ),
        ({"masks": (MASKS._replace(masks=(bytes(12),) * 2),)}, "a bit for each of 100 tokens"),
        ({"copies": (COPY._replace(source=BlockRef(0, 8)),)}, "8 blocks"),
        ({"copies": (COPY._replace(target=BlockRef(1, 0)),)}, "1 tiers"),
    ],
    ids=str,
)
def test_what_the_device_does_not_have_is_refused(change: dict[str, Any], what: str) -> None:
    with pytest.raises(WireError, match=what):
        check_plan(replace(PLAN, **change), DEVICE)
