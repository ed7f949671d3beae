"""`SamplingTensors`: the sampling options of a step's rows, as tensors, and only those in use.

An option that no row uses is None, and its stage is skipped: a batch of greedy requests holds no
tensor at all. Whatever can be known on the host is decided here, so that the sampler never has to
ask the device.

It knows nothing of logits. Read next: `sampler.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.paged.batch import send
from nanovllm_edu.sampling.edits import Edits, build_edits
from nanovllm_edu.sampling.rows import TINIEST_TEMPERATURE, SamplingRow


@dataclass(frozen=True, slots=True)
class SamplingTensors:
    """Options of R rows; None where no row uses one.

    Attributes:
        num_rows: R.
        num_logprobs: For each row how many top log probabilities it asked for, or None.
        is_random: Rows that draw; the others are greedy. None if all are greedy.
        temperature: float32 [rows], 1 for greedy rows.
        seeds: int64 [rows].
        positions: int64 [rows].
        min_p: float32 [rows], 0 where off.
        top_k: int64 [rows], 0 where off.
        max_top_k: The largest `top_k`; on the host.
        is_top_k_everywhere: Every row has a top-k, so at most `max_top_k` tokens (and ties) are
            left of each.
        top_p: float32 [rows], 1 where off.
        edits: The stages that edit single logits, with what each needs; () if no row has one.
    """

    num_rows: int
    num_logprobs: tuple[int | None, ...]
    is_random: Bool[Tensor, " rows"] | None = None
    temperature: Float[Tensor, " rows"] | None = None
    seeds: Int[Tensor, " rows"] | None = None
    positions: Int[Tensor, " rows"] | None = None
    min_p: Float[Tensor, " rows"] | None = None
    top_k: Int[Tensor, " rows"] | None = None
    max_top_k: int = 0
    is_top_k_everywhere: bool = False
    top_p: Float[Tensor, " rows"] | None = None
    edits: Edits = ()

    @classmethod
    def build(
        cls,
        rows: Sequence[SamplingRow],
        device: torch.device | str = "cpu",
        token_table: Int[Tensor, "table_rows max_len"] | None = None,
    ) -> "SamplingTensors":
        """Collects what the rows need.

        Args:
            rows: One per token to sample, in the order of the logits.
            device: Where the logits are.
            token_table: Every sequence's tokens, by row; needed if a row looks at them.
        """
        params = [row.params for row in rows]
        num_logprobs = tuple(p.logprobs for p in params)
        has_edits = any(p.edits_logits for p in params)
        edits = build_edits(rows, device, token_table) if has_edits else ()
        if all(p.is_greedy for p in params):
            return cls(len(rows), num_logprobs, edits=edits)
        # A greedy row ignores its filters: they never drop the likeliest token.
        drawing = [SamplingParams(temperature=0) if p.is_greedy else p for p in params]
        return cls(
            len(rows),
            num_logprobs,
            edits=edits,
            max_top_k=max(p.top_k for p in drawing),
            is_top_k_everywhere=all(p.top_k or p.is_greedy for p in drawing),
            **_options(rows, drawing, device),
        )


def _options(
    rows: Sequence[SamplingRow], params: Sequence[SamplingParams], device: torch.device | str
) -> dict[str, Tensor | None]:
    """The per-row tensors, in two copies to the device: one of integers, one of floats."""
    seeds, positions, top_k, is_random = send(
        [
            np.array([row.seed % 2**64 for row in rows], np.uint64).view(np.int64),
            [row.position for row in rows],
            [p.top_k for p in params],
            [int(not p.is_greedy) for p in params],
        ],
        device,
    )
    temperature, min_p, top_p = send(
        [
            [1.0 if p.is_greedy else max(p.temperature, TINIEST_TEMPERATURE) for p in params],
            [p.min_p for p in params],
            [p.top_p for p in params],
        ],
        device,
        np.float32,
    )
    return {
        "is_random": is_random.bool(),
        "temperature": temperature,
        "seeds": seeds,
        "positions": positions,
        "min_p": min_p if any(p.min_p > 0 for p in params) else None,
        "top_k": top_k if any(p.top_k for p in params) else None,
        "top_p": top_p if any(p.top_p < 1 for p in params) else None,
    }
