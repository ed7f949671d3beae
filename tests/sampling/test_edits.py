"""Stages that edit single logits equal their definitions, and cost nothing where unused."""

import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.runners.cuda_graph import SamplingKind, kind_of
from nanovllm_edu.sampling import edits
from nanovllm_edu.sampling.rows import SamplingRow
from nanovllm_edu.sampling.tensors import SamplingTensors

VOCAB_SIZE = 12
NUM_PROMPT_TOKENS = 3


def edited(logits: Tensor, rows: list[SamplingRow], table: Tensor) -> Tensor:
    for stage, needed in SamplingTensors.build(rows, "cpu", table).edits:
        logits = stage.apply(logits, needed)
    return logits


def by_definition(logits: list[float], row: SamplingRow, tokens: list[int]) -> list[float]:
    """One row in plain Python."""
    params, output = row.params, tokens[NUM_PROMPT_TOKENS : row.position]
    result = list(logits)
    for i in range(VOCAB_SIZE):
        if row.mask is not None and not row.mask[i // 8] >> i % 8 & 1:
            result[i] = -math.inf
        if params.allowed_token_ids and i not in params.allowed_token_ids:
            result[i] = -math.inf
        for words in params.bad_words_token_ids:
            before = list(words[:-1])
            if words[-1] == i and (not before or output[-len(before) :] == before):
                result[i] = -math.inf
        ends = {*params.stop_token_ids, *(() if params.ignore_eos else row.eos_token_ids)}
        if len(output) < params.min_tokens and i in ends:
            result[i] = -math.inf
        result[i] += dict(params.biases).get(i, 0.0)
    return result


def random_params(random: Random) -> SamplingParams:
    options: dict[str, Any] = {
        "allowed_token_ids": [2, 3, 5, 7, 11],
        "bad_words_token_ids": [[3], [1, 2], [2, 1, 2], [1, 1, 1, 5]],
        "min_tokens": random.randrange(1, 6),
        "logit_bias": {2: 3.5, 7: -100.0, 0: 0.5},
        "stop_token_ids": [5, 7],
        "ignore_eos": True,
    }
    return SamplingParams(**{k: v for k, v in options.items() if random.random() < 0.5})


@pytest.mark.parametrize("seed", range(40))
def test_they_equal_their_definitions(seed: int) -> None:
    random = Random(seed)
    tables = [[random.choice((1, 2, 3, 5)) for _ in range(9)] for _ in range(6)]
    rows = [
        SamplingRow(
            random_params(random), 0, random.randrange(NUM_PROMPT_TOKENS, 9), NUM_PROMPT_TOKENS,
            random.randrange(6), frozenset({0, 11}),
        )
        for _ in range(10)
    ]  # fmt: skip
    for i in range(0, 10, 3):
        params = replace(rows[i].params, structured_outputs={"regex": "any"})
        rows[i] = rows[i]._replace(params=params, mask=random.randbytes(3))
    logits = torch.randn(10, VOCAB_SIZE, generator=torch.Generator().manual_seed(seed))
    before = logits.clone()
    got = edited(logits, rows, torch.tensor(tables)).tolist()
    for i, row in enumerate(rows):
        expected = by_definition(logits[i].tolist(), row, tables[row.row])
        assert got[i] == pytest.approx(expected, abs=1e-5)
    assert torch.equal(logits, before)  # the model's own are for the log probabilities


def test_where_nobody_wants_them_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: Any) -> None:
        raise AssertionError("nobody asked for it")

    never = [stage._replace(build=build) for stage in edits.STAGES]
    monkeypatch.setattr(edits, "STAGES", tuple(never))
    params = [SamplingParams(), SamplingParams(temperature=0), SamplingParams(top_p=0.5, stop="x")]
    rows = [SamplingRow(one, 0, 3, 1, 0, frozenset({5})) for one in params]
    assert SamplingTensors.build(rows).edits == ()


def test_a_stage_that_is_not_in_use_is_not_there() -> None:
    rows = [
        SamplingRow(SamplingParams(logit_bias={1: 1.0}), 0, 3),
        SamplingRow(SamplingParams(), 0, 3),
    ]
    assert [stage.name for stage, _ in SamplingTensors.build(rows).edits] == ["logit_bias"]
    enough = SamplingRow(SamplingParams(min_tokens=2, stop_token_ids=[1]), 0, 5, 3)
    assert SamplingTensors.build([enough]).edits == ()


@pytest.mark.parametrize(
    "options",
    [{"logit_bias": {1: 1.0}}, {"allowed_token_ids": [1]}, {"min_tokens": 1},
     {"bad_words_token_ids": [[1]]}, {"structured_outputs": {"regex": "a"}}],
    ids=str,
)  # fmt: skip
def test_a_graph_leaves_them_to_the_eager_sampler(options: Any) -> None:
    assert kind_of(SamplingParams(**options)) is SamplingKind.OUTSIDE
