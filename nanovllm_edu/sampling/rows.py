"""`SamplingRow`: one token to sample, and how columns of such rows go to the device.

Read next: `edits.py`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from nanovllm_edu.core.request.sampling_params import SamplingParams


class SamplingRow(NamedTuple):
    """One token to sample.

    Attributes:
        params: How.
        seed: The request's seed; any integer, its low 64 bits count.
        position: Where the new token will stand in its sequence: the number of tokens before it.
        num_prompt_tokens: How many of those are the prompt.
        row: Its line of the token table, where the tokens before it are found.
        eos_token_ids: Tokens by which the model ends.
    """

    params: SamplingParams
    seed: int
    position: int
    num_prompt_tokens: int = 0
    row: int = 0
    eos_token_ids: frozenset[int] = frozenset()


def send(
    columns: list[list[int]] | list[list[float]], dtype: torch.dtype, device: torch.device | str
) -> tuple[Tensor, ...]:
    """Several columns in one copy that does not wait for the device."""
    packed = torch.tensor(columns, dtype=dtype)
    if torch.device(device).type == "cuda":
        packed = packed.pin_memory()
    return packed.to(device, non_blocking=True).unbind(0)
