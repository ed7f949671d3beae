"""What decode attention works with besides queries and the cache, and how its work is cut.

Read next: `paged_decode.py`, whose figure says what a chunk is.
"""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from nanovllm_edu.kernels.measured import entry_for


@dataclass(frozen=True)
class DecodeTiles:
    """How the work is cut: see the figure above. Measured by `benchmarks/gpu_kernels.py`.

    Attributes:
        max_chunks: Of a sequence; 1: a program takes a whole sequence.
        chunk: The fewest tokens that a sequence is cut for.
        tile: Tokens of one step of the loop; divides `chunk`.
        num_stages: Tiles in flight.
        num_warps: Warps of a program.
        max_registers: Of a thread, so that enough programs fit.
    """

    max_chunks: int = 8
    chunk: int = 64
    tile: int = 64
    num_stages: int = 2
    num_warps: int = 4
    max_registers: int = 168

    def __post_init__(self) -> None:
        assert self.chunk % self.tile == 0


#    pairs of row and key-value head, and how to cut them
_DECODE_TILES: dict[int, DecodeTiles] = {
    8: DecodeTiles(8, 64, 64, 2, 4, 168),
    64: DecodeTiles(8, 128, 64, 2, 2, 255),
    128: DecodeTiles(4, 512, 64, 2, 4, 168),
    256: DecodeTiles(1, 128, 128, 2, 8, 128),
    768: DecodeTiles(1, 64, 64, 2, 4, 168),
    1024: DecodeTiles(1, 64, 64, 2, 2, 255),
    1600: DecodeTiles(1, 32, 32, 2, 2, 168),
}
_MOST_PAIRS = DecodeTiles(1, 32, 32, 2, 2, 128)


def decode_tiles(num_pairs: int) -> DecodeTiles:
    """How decode attention over `num_pairs` of a row and a key-value head is cut.

    With many pairs a program takes a whole sequence, with few a chunk of it.
    """
    return entry_for(_DECODE_TILES, num_pairs, _MOST_PAIRS)


@dataclass(frozen=True)
class DecodeWorkspace:
    """Scratch memory of the split: partial results, and who has arrived. Layers take turns in it.

    Attributes:
        partial: float32 [S, KH, max_chunks, G * D]
        stats: float32 [S, KH, max_chunks, 2, G], highest score and total weight of a chunk.
        arrivals: int32 [S, KH], zero between kernels.
        tiles: How the work is cut.
    """

    partial: Tensor
    stats: Tensor
    arrivals: Tensor
    tiles: DecodeTiles

    @classmethod
    def allocate(
        cls,
        num_rows: int,
        max_context_len: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        device: torch.device,
        tiles: DecodeTiles | None = None,
    ) -> "DecodeWorkspace":
        """Scratch memory for `num_rows` sequences of at most `max_context_len` tokens."""
        tiles = tiles or DecodeTiles()
        max_chunks = min(tiles.max_chunks, triton.cdiv(max_context_len, tiles.chunk))
        group = num_heads // num_kv_heads
        shape = (num_rows, num_kv_heads, max_chunks)
        return cls(
            partial=torch.empty(*shape, group * head_dim, dtype=torch.float32, device=device),
            stats=torch.empty(*shape, 2, group, dtype=torch.float32, device=device),
            arrivals=torch.zeros(num_rows, num_kv_heads, dtype=torch.int32, device=device),
            tiles=tiles,
        )


@dataclass(frozen=True)
class NewTokens:
    """What turns a row of the qkv projection into rotated queries, a key and a value.

    Attributes:
        cos_sin: float32 [max_positions, D].
        bias: [(H + 2 KH) D] or None (Qwen2 has one).
        q_weight: [D], the per-head norm of queries, or None (Llama has none).
        k_weight: [D], of keys, or None.
        eps: Of every norm.
        residual: [S, hidden], what was projected, if its rows must still be divided by their rms;
            or None.
    """

    cos_sin: Tensor
    bias: Tensor | None
    q_weight: Tensor | None
    k_weight: Tensor | None
    eps: float
    residual: Tensor | None = None
