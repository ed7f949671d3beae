"""A decode step's last kernel: each row takes the best of its vocabulary tiles, and moves on.

    best of each tile [M, tiles]   ->   token [M], written where the next step's `embed` reads it

A row whose best score is no number has logits that are none: its result is `BROKEN`, which the host
takes for a failure of this one row, and the token table gets a token that exists.

It also lengthens the sequence by one. It is the only kernel of a step that changes what the others
read without waiting (see `launch.py`), and it comes last.

`reference` says which token. Read next: `propose.py`, `filters.py`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from jaxtyping import Int
from torch import Tensor

from nanovllm_edu.kernels.triton.gemm import Tiles
from nanovllm_edu.kernels.triton.launch import allow_successor, wait_for_predecessor
from nanovllm_edu.sampling.sampler import BROKEN

_BROKEN = tl.constexpr(BROKEN)


@dataclass(frozen=True)
class SampleScratch:
    """Each vocabulary tile's best: float32 and int32 [M, tiles]."""

    best_scores: Tensor
    best_tokens: Tensor

    @classmethod
    def allocate(
        cls, num_rows: int, vocab_size: int, tiles: Tiles, device: torch.device
    ) -> "SampleScratch":
        """Uninitialised memory for the tiles of the `head` kernel."""
        return cls.of_tiles(num_rows, triton.cdiv(vocab_size, tiles.n), device)

    @classmethod
    def of_tiles(cls, num_rows: int, num_tiles: int, device: torch.device) -> "SampleScratch":
        """Uninitialised memory."""
        shape = (num_rows, num_tiles)
        return cls(
            torch.empty(shape, dtype=torch.float32, device=device),
            torch.empty(shape, dtype=torch.int32, device=device),
        )


@triton.jit
def larger(a, b):
    """The larger of two numbers, and NaN if one of them is: `tl.max` would drop it."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def max_or_nan(x, axis: tl.constexpr):
    """The largest along an axis; NaN if there is one."""
    return tl.reduce(x, axis, larger)


@triton.jit
def nan_if_infinite(logits):
    """The logits with NaN where one is minus infinity, which would just lose; +inf wins anyway."""
    return tl.where(logits == float("-inf"), float("nan"), logits)


@triton.jit(do_not_specialize=["num_tiles", "table_stride"])
def _pick_kernel(
    best_scores_ptr, best_tokens_ptr, out_ptr, token_table_ptr, table_rows_ptr, context_lens_ptr,
    advances_ptr, num_tiles, table_stride, BLOCK: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """One row: the token of its best tile is stored, and the sequence is one longer."""
    allow_successor(OVERLAP)
    wait_for_predecessor(OVERLAP)
    row = tl.program_id(0)
    tiles = tl.arange(0, BLOCK)
    cells = row * num_tiles + tiles
    scores = tl.load(best_scores_ptr + cells, mask=tiles < num_tiles, other=float("-inf"))
    best = max_or_nan(scores, 0)
    is_broken = (best != best) | (tl.abs(best) == float("inf"))
    token = tl.load(best_tokens_ptr + row * num_tiles + tl.argmax(scores, axis=0)).to(tl.int64)
    token = tl.where(is_broken, 0, token)
    tl.store(out_ptr + row, tl.where(is_broken, _BROKEN, token))
    length = tl.load(context_lens_ptr + row)
    table_row = tl.load(table_rows_ptr + row).to(tl.int64)
    tl.store(token_table_ptr + table_row * table_stride + length, token)
    tl.store(context_lens_ptr + row, length + tl.load(advances_ptr + row))


def pick(
    scratch: SampleScratch,
    out: Tensor,
    token_table: Tensor,
    table_rows: Tensor,
    context_lens: Tensor,
    advances: Tensor,
    options: dict[str, object],
) -> None:
    """Each row's token: to `out`, to the token table, and one more token of context."""
    num_rows, num_tiles = scratch.best_scores.shape
    _pick_kernel[(num_rows,)](
        scratch.best_scores, scratch.best_tokens, out, token_table, table_rows, context_lens,
        advances, num_tiles, token_table.stride(0), BLOCK=triton.next_power_of_2(num_tiles),
        num_warps=8, **options,
    )  # fmt: skip


def reference(scratch: SampleScratch) -> Int[Tensor, " rows"]:
    """Each row's token: the one that its best tile proposed; BROKEN if a score is no number."""
    best_tiles = scratch.best_scores.argmax(dim=1, keepdim=True)
    tokens = scratch.best_tokens.gather(1, best_tiles).squeeze(1).long()
    best = scratch.best_scores.amax(1)  # NaN if there is one
    return torch.where(best.isfinite(), tokens, BROKEN)
