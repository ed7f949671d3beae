"""The sampler in plain Python draws the tokens of the one with tensors, whatever the options."""

import math
from array import array
from dataclasses import fields, replace
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.sampling import plain, plain_noise
from nanovllm_edu.sampling.random import gumbel_noise, random_bits
from nanovllm_edu.sampling.rows import SamplingRow
from nanovllm_edu.sampling.sampler import Sampler, apply_filters
from nanovllm_edu.sampling.tensors import SamplingTensors

VOCAB_SIZE, PROMPT, LENGTH = 97, 5, 12
APPLIED = {
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "logit_bias", "allowed_token_ids", "bad_words_token_ids", "min_tokens",
    "stop_token_ids", "ignore_eos", "logprobs", "structured_outputs",
}  # fmt: skip
"""Options that the sampler looks at."""
OF_OTHERS = {
    "seed", "max_tokens", "stop", "skip_special_tokens", "include_stop_str_in_output", "n",
    "prompt_logprobs", "bad_words",
}  # fmt: skip
"""Options that are over when logits come: of the intake, of the ending and of the text."""


def test_every_option_is_somebodys():
    """A new one must be applied here too, or another token would be drawn in silence."""
    assert {field.name for field in fields(SamplingParams)} == APPLIED | OF_OTHERS


def random_params(random: Random) -> SamplingParams:
    options: dict[str, Any] = {
        "temperature": random.choice((0.0, 0.3, 1.0, 1.0, 2.5, 1e-40)),
        "top_k": random.choice((1, 2, 7, 40, VOCAB_SIZE, 500)),
        "top_p": random.choice((1e-6, 0.3, 0.9, 0.99)),
        "min_p": random.choice((0.01, 0.2, 1.0)),
        "repetition_penalty": random.choice((0.7, 1.3)),
        "presence_penalty": random.choice((-0.5, 0.5)),
        "frequency_penalty": random.choice((-0.25, 0.4)),
        "logit_bias": {random.randrange(VOCAB_SIZE): random.uniform(-9, 9) for _ in range(4)},
        "allowed_token_ids": random.sample(range(VOCAB_SIZE), 20),
        "bad_words_token_ids": [[3], [1, 2], [2, 1, 2], [1, 1, 1, 5]],
        "min_tokens": random.randrange(1, 12),
        "stop_token_ids": random.sample(range(VOCAB_SIZE), 9),
        "ignore_eos": True,
        "logprobs": random.randrange(6),
    }
    return SamplingParams(**{k: v for k, v in options.items() if random.random() < 0.4})


def random_batch(seed: int) -> tuple[Tensor, list[SamplingRow], list[list[int]]]:
    """Logits, of which some are equal; how each row is sampled; everybody's tokens."""
    random = Random(seed)
    logits = torch.randn(12, VOCAB_SIZE, generator=torch.Generator().manual_seed(seed)) * 3
    logits = torch.where(logits > 2, logits.round(), logits)
    table = [[random.randrange(6) for _ in range(LENGTH + 3)] for _ in range(12)]
    rows = [
        SamplingRow(
            random_params(random), random.getrandbits(70) - 2**69, random.randrange(PROMPT, LENGTH),
            PROMPT, i, frozenset({0, 11}),
        )
        for i in range(12)
    ]  # fmt: skip
    for i in range(0, 12, 4):
        params = replace(rows[i].params, structured_outputs={"regex": "any"})
        rows[i] = rows[i]._replace(params=params, mask=random.randbytes(16))
    return logits, rows, table


@pytest.mark.parametrize("seed", range(60))
def test_the_same_tokens_are_drawn(seed: int):
    logits, rows, table = random_batch(seed)
    output = Sampler()(logits, SamplingTensors.build(rows, "cpu", torch.tensor(table)))
    found = output.logprobs_of(range(len(rows)))
    for i, row in enumerate(rows):
        scores = array("f", logits[i].tolist())
        before = scores[:]
        token_id = plain.sample(scores, row, table[i])
        assert token_id == output.token_ids[i], row.params
        assert scores == before  # the model's own are for the log probabilities
        if row.params.logprobs is not None:
            mine = plain.logprobs(scores, token_id, row.params.logprobs)
            (right,) = found[i]
            assert (mine.token_id, len(mine.top)) == (right.token_id, len(right.top))
            assert mine.logprob == pytest.approx(right.logprob, abs=1e-5)
            for (_, value), (_, expected) in zip(mine.top, right.top, strict=True):
                assert value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_of_the_logits_is_the_same(seed: int):
    """Bit for bit: whoever lets one more token through would draw it one day."""
    logits, rows, table = random_batch(seed)
    rows = [row for row in rows if not row.params.is_greedy]
    logits = logits[[row.row for row in rows]]
    tensors = SamplingTensors.build(rows, "cpu", torch.tensor(table))
    right = logits
    for stage, needed in tensors.edits:
        right = stage.apply(right, needed)
    right = apply_filters(right, tensors)
    for i, row in enumerate(rows):
        edits = plain.edited(array("f", logits[i].tolist()), row, table[row.row])
        assert plain.filtered(edits, row.params).tolist() == right[i].tolist()


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1, 0xDEADBEEF12345678])
@pytest.mark.parametrize("position", [0, 1, 4095, 2**31 - 1])
def test_bits_are_the_same_and_noise_to_the_last_bit_or_two(seed: int, position: int):
    keys = plain_noise.row_keys(seed, position)
    signed = torch.tensor([seed - 2**64 if seed >= 2**63 else seed])
    place = torch.tensor([position])
    bits = [plain_noise.mix(plain_noise.mix(i ^ keys[0]) ^ keys[1]) for i in range(50)]
    assert bits == [b % 2**32 for b in random_bits(signed, place, 50)[0].tolist()]
    noise = torch.tensor(plain_noise.gumbel_noise(*keys, 50).tolist())
    torch.testing.assert_close(noise, gumbel_noise(signed, place, 50)[0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_that_holds_no_number_is_found(value: float):
    assert plain.is_broken(array("f", [0.5, value, 1.0]))
    assert not plain.is_broken(array("f", [0.5, 3e38, 3e38]))
