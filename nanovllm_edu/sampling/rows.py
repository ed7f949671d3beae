"""`SamplingRow`: one token to sample.

Read next: `edits.py`; `plain.py` samples a row in plain Python.
"""

from typing import NamedTuple

from nanovllm_edu.core.request.sampling_params import SamplingParams

TINIEST_TEMPERATURE = 1e-30
"""A temperature below it would be 0 in float32. At 1e-30 only equal logits still compete."""

BROKEN_LOGITS = "the model's logits are NaN or infinite"
"""What is said of a row that no token can be drawn from."""


class SamplingRow(NamedTuple):
    """One token to sample.

    Attributes:
        params: How.
        seed: The request's seed; any integer, its low 64 bits count.
        position: Where the new token will stand in its sequence: the number of tokens before it.
        num_prompt_tokens: How many of those are the prompt.
        row: Its line of the token table, where the tokens before it are found.
        eos_token_ids: Tokens by which the model ends.
        mask: What may be drawn, by a grammar: a bit for each token of the vocabulary, the lowest
            of a byte first. None allows all.
    """

    params: SamplingParams
    seed: int
    position: int
    num_prompt_tokens: int = 0
    row: int = 0
    eos_token_ids: frozenset[int] = frozenset()
    mask: bytes | None = None
