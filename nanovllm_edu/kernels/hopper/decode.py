"""`HopperDecode`: binds `decode.cu` to one layer's operands, and launches it.

The same in Triton, with its `reference` in torch: `kernels/triton/paged_decode.py`. Read next:
`decode.cu`.
"""

import ctypes
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from nanovllm_edu.kernels.hopper.compiler import Arguments, HopperKernel
from nanovllm_edu.kernels.measured import entry_for
from nanovllm_edu.kernels.triton.decode_operands import NewTokens

SCORES = 8
"""Of a group of lanes in one step: as many tokens as query heads leave registers for."""
MOST_HEADS = 4
"""Query heads of a block: a thread holds a part of each."""
MOST_SHARED_PAIRS = 256
"""Of a row and a key-value head whose query heads several blocks share: with more, it costs more to
read keys and values again than Triton's kernel takes, which reads them once."""
BLOCK_SIZE_MULTIPLE = 16
"""A warp's step, of so many tokens at most, lies in one block of the cache."""


@dataclass(frozen=True)
class HopperDecodeTiles:
    """How the work is cut. Measured by `benchmarks/hopper_tiles.py`.

    Attributes:
        splits: Blocks that share a sequence and key-value head, of one cluster.
        warps: Of a block.
        blocks: Of a multiprocessor, which limits a thread's registers.
    """

    splits: int
    warps: int
    blocks: int


#    pairs of row and key-value head: (splits, warps, blocks of a multiprocessor)
_HOPPER_DECODE_TILES: dict[int, HopperDecodeTiles] = {
    16: HopperDecodeTiles(8, 16, 1),
    32: HopperDecodeTiles(4, 16, 1),
    64: HopperDecodeTiles(2, 16, 1),
    128: HopperDecodeTiles(1, 16, 1),
    896: HopperDecodeTiles(1, 8, 2),
    1600: HopperDecodeTiles(1, 4, 4),
}
_MOST_PAIRS_ON_HOPPER = HopperDecodeTiles(1, 2, 8)


def hopper_decode_tiles(num_pairs: int) -> HopperDecodeTiles:
    """How decode attention over `num_pairs` of a row and a share of a key-value head is cut."""
    return entry_for(_HOPPER_DECODE_TILES, num_pairs, _MOST_PAIRS_ON_HOPPER)


def num_shares(group: int) -> int:
    """Blocks among which the query heads of one key-value head are divided."""
    return -(-group // MOST_HEADS)


class HopperDecode:
    """Decode attention of one layer, bound to its operands.

    Args:
        qkv: bf16 [M, (H + 2 KH) D].
        cache_layer: bf16 [2, blocks, B, KH, D]; the new tokens' keys and values are stored.
        out: bf16 [M, H, D].
        block_tables: int32 [table rows, max_blocks].
        table_rows: int64 [M], which of these is a row's.
        context_lens: int32 [M], the new token counted.
        new: What turns `qkv` into queries, keys and values.
        tiles: How to cut the work.
        scale: Of the scores, times log2 e.
    """

    def __init__(
        self,
        qkv: Tensor,
        cache_layer: Tensor,
        out: Tensor,
        block_tables: Tensor,
        table_rows: Tensor,
        context_lens: Tensor,
        new: NewTokens,
        tiles: HopperDecodeTiles,
        scale: float,
    ) -> None:
        _, _, block_size, num_kv_heads, head_dim = cache_layer.shape
        num_rows, num_heads, _ = out.shape
        assert block_size % BLOCK_SIZE_MULTIPLE == 0
        hidden = 0 if new.residual is None else new.residual.shape[1]
        self._kernel = compiled(
            num_kv_heads, num_heads // num_kv_heads, head_dim, block_size, hidden,
            new.bias is not None, new.q_weight is not None, tiles, qkv.device.index,
        )  # fmt: skip
        shares = num_shares(num_heads // num_kv_heads)
        self._grid = (num_kv_heads * shares, num_rows, tiles.splits)
        self._num_threads = 32 * tiles.warps
        self._arguments = Arguments(
            (
                qkv, new.residual, new.bias, new.q_weight, new.k_weight, new.cos_sin,
                cache_layer[0], cache_layer[1], out,
                block_tables, table_rows, context_lens,
                ctypes.c_int(block_tables.stride(0)),
                ctypes.c_float(scale), ctypes.c_float(new.eps),
            )
        )  # fmt: skip

    def launch(self, is_overlapped: bool = True) -> None:
        """Puts the kernel on torch's current stream."""
        self._kernel.launch(self._grid, self._num_threads, self._arguments, is_overlapped)


@cache
def compiled(
    num_kv_heads: int,
    group: int,
    head_dim: int,
    block_size: int,
    hidden: int,
    has_bias: bool,
    has_qk_norm: bool,
    tiles: HopperDecodeTiles,
    device: int,
) -> HopperKernel:
    """The kernel for one shape, loaded on a device, which is the current one."""
    assert device == torch.cuda.current_device()
    shares = num_shares(group)
    heads = -(-group // shares)
    constants = {
        "KH": num_kv_heads, "GROUP": group, "SHARES": shares, "G": heads, "D": head_dim,
        "B": block_size, "HIDDEN": hidden,
        "HAS_BIAS": int(has_bias), "HAS_QK_NORM": int(has_qk_norm),
        "SPLITS": tiles.splits, "WARPS": tiles.warps, "BLOCKS": tiles.blocks,
        "TOKENS": tokens_of_a_step(heads, head_dim),
    }  # fmt: skip
    return HopperKernel("decode", constants)


def tokens_of_a_step(group: int, head_dim: int) -> int:
    """Of one group of lanes: a power of two; `256 / head_dim` groups make a warp's step."""
    for_registers = 1 << (SCORES // group).bit_length() - 1
    return min(for_registers, BLOCK_SIZE_MULTIPLE * head_dim // 256)
