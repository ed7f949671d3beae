"""`HopperPrefill`: attention of many query tokens over the paged cache, in CUDA C++.

The same in Triton: `kernels/triton/paged_prefill.py`. Reference: `attention/reference.py`. Read
next: `prefill.cu`.
"""

import ctypes
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.kernels.hopper import compiler
from nanovllm_edu.kernels.hopper.compiler import Arguments, HopperKernel, tensor_map
from nanovllm_edu.kernels.hopper.gemm import DEPTH, wgmma
from nanovllm_edu.kernels.triton.flash import LOG2_E

KEYS = 128
"""Keys of a tile."""
HEAD_DIMS = (64, 128)
BLOCK_SIZE_MULTIPLE = 16
"""A copy's rows lie in one block of the cache, and shared memory repeats its pattern every 8."""


@dataclass(frozen=True)
class HopperPrefillTiles:
    """How the work is cut.

    Attributes:
        groups: Of four warps, with 64 rows of queries each: 2 or 3.
        places: Tiles of keys or values in flight.
        take_turns: Whether groups begin their products in turn.
    """

    groups: int
    places: int
    take_turns: bool = True

    def shared_bytes(self, head_dim: int) -> int:
        """Of a block: two tiles of queries, and the ring of keys and values."""
        return 2 * head_dim * (2 * 64 * self.groups + self.places * KEYS)

    @property
    def registers(self) -> tuple[int, int]:
        """Of a thread of the producer, and of a consumer: 65,536 for all, by eights."""
        return (24, 240) if self.groups == 2 else (32, 160)


TILES = {128: HopperPrefillTiles(2, 4), 64: HopperPrefillTiles(3, 8)}
"""By head_dim."""


class HopperPrefill:
    """The kernel, and the counter that its blocks take their work from.

    It belongs to the current device. Launches must follow each other: two at once would share the
    counter.

    Args:
        tiles: How to cut the work; by default `TILES`.
    """

    def __init__(self, tiles: HopperPrefillTiles | None = None) -> None:
        self._counter = torch.zeros(1, dtype=torch.int32, device="cuda")
        self._tiles = tiles
        self._num_processors = torch.cuda.get_device_properties().multi_processor_count

    def __call__(
        self,
        q: Float[Tensor, "tokens heads head_dim"],
        cache_layer: Float[Tensor, "2 blocks block_size kv_heads head_dim"],
        block_tables: Int[Tensor, "sequences max_blocks"],
        query_starts: Int[Tensor, " sequences_plus_one"],
        context_lens: Int[Tensor, " sequences"],
        out: Float[Tensor, "tokens heads head_dim"],
    ) -> None:
        """Causal attention of every query over its sequence's cached tokens, written to `out`.

        Args:
            q: bf16, queries of all sequences, one after the other; a token's heads contiguous.
            cache_layer: bf16, one layer of the KV cache; this step's keys and values are in it.
            block_tables: int32, physical block of each logical block.
            query_starts: int32, sequence s owns tokens `[query_starts[s], query_starts[s + 1])`.
            context_lens: int32, cached tokens of each sequence, this step's included; 0 for
                padding, whose tokens become zeros.
            out: bf16, contiguous; every row of a sequence is written.
        """
        num_tokens, num_heads, head_dim = q.shape
        _, _, block_size, num_kv_heads, _ = cache_layer.shape
        tiles = self._tiles or TILES[head_dim]
        kernel = compiled(num_heads, num_kv_heads, head_dim, block_size, tiles, q.device.index)
        heads = num_heads // num_kv_heads
        tokens = 64 * tiles.groups // heads
        num_tiles = min(num_tokens, num_tokens // tokens + len(context_lens)) * num_heads // heads
        width = num_kv_heads * head_dim
        queries = tensor_map(
            q.data_ptr(), (head_dim, num_heads, num_tokens), (head_dim, q.stride(0)),
            (DEPTH, heads, tokens),
        )  # fmt: skip
        slots, box = (width, cache_layer.shape[1] * block_size), (DEPTH, box_rows(block_size))
        maps = (
            queries,
            *(tensor_map(half.data_ptr(), slots, (width,), box) for half in cache_layer),
        )
        numbers = (ctypes.c_int(block_tables.stride(0)), ctypes.c_int(len(context_lens)))
        tables = (block_tables, query_starts, context_lens, self._counter)
        scale = ctypes.c_float(head_dim**-0.5 * LOG2_E)
        kernel.launch(
            (min(num_tiles, self._num_processors), 1, 1),
            128 * (tiles.groups + 1),
            Arguments((*maps, out, *tables, *numbers, scale)),
            is_overlapped=False,
        )


def why_unavailable(
    device: torch.device, dtype: torch.dtype, head_dim: int, block_size: int
) -> str | None:
    """The reason, with its remedy, why this kernel cannot run; None if it can."""
    reason = compiler.why_unavailable(device, dtype)
    if reason:
        return f"{reason}; use 'triton'"
    if head_dim not in HEAD_DIMS:
        return f"our CUDA C++ kernel has head_dim {HEAD_DIMS}, not {head_dim}; use 'sdpa'"
    if block_size % BLOCK_SIZE_MULTIPLE:
        return (
            f"our CUDA C++ kernel needs a block_size that is a multiple of {BLOCK_SIZE_MULTIPLE}, "
            f"not {block_size}; use 'triton'"
        )
    return None


def box_rows(block_size: int) -> int:
    """Keys that one copy moves: as many as divide both a block of the cache and a tile."""
    return min(block_size & -block_size, KEYS)


@cache
def compiled(
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    block_size: int,
    tiles: HopperPrefillTiles,
    device: int,
) -> HopperKernel:
    """The kernel for one shape, loaded on a device, which is the current one."""
    assert device == torch.cuda.current_device()
    constants = constants_for(num_heads, num_kv_heads, head_dim, block_size, tiles)
    head = wgmma(KEYS) + wgmma_from_registers(head_dim)
    return HopperKernel("prefill", constants, head, tiles.shared_bytes(head_dim))


def constants_for(
    num_heads: int, num_kv_heads: int, head_dim: int, block_size: int, tiles: HopperPrefillTiles
) -> dict[str, object]:
    """What the source calls by names in capitals."""
    assert num_heads % num_kv_heads == 0
    producer, consumer = tiles.registers
    return {
        "H": num_heads, "KH": num_kv_heads, "HEADS": num_heads // num_kv_heads, "D": head_dim,
        "B": block_size, "BOX": box_rows(block_size), "GROUPS": tiles.groups,
        "PLACES": tiles.places, "TAKE_TURNS": int(tiles.take_turns),
        "PRODUCER_REGISTERS": producer, "CONSUMER_REGISTERS": consumer,
    }  # fmt: skip


def wgmma_from_registers(n: int) -> str:
    """A macro like `gemm.wgmma`: 64 rows from registers `a[i]` and on, times a transposed tile."""
    count = n // 2
    registers = ", ".join(f"%{i}" for i in range(count))
    outputs = ", ".join(f'"+f"(acc[{i}])' for i in range(count))
    rows = ", ".join(f"%{count + i}" for i in range(4))
    inputs = ", ".join(f'"r"(a[(i) + {j}])' for j in range(4))
    return (
        "#define WGMMA_FROM_REGISTERS(acc, a, i, b) asm volatile("
        f'"wgmma.mma_async.sync.aligned.m64n{n}k16.f32.bf16.bf16 {{{registers}}}, {{{rows}}}, '
        f'%{count + 4}, 1, 1, 1, 1;" : {outputs} : {inputs}, "l"(b))\n'
    )
