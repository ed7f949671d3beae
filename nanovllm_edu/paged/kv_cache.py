"""`KVCache`: the memory that blocks are made of.

One tensor for all layers. A block id of the block manager is an index of its third axis; a *slot*
is `block_id * block_size + offset`, the flat index over blocks and offsets. It knows nothing of who
owns a block.

There is one block more than the block manager has: the scratch block, which padding rows of a CUDA
graph write to and read from, so that no kernel needs a special number for "no block".

Source: the block layout is that of PagedAttention (Kwon et al., 2023).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.core.plan import DEVICE_TIER, BlockCopy, BlockRef
from nanovllm_edu.errors import OutOfDeviceMemoryError

CACHE_LINE = 64
"""Bytes that a processor reads at once: a vector should not lie across two of them."""


@dataclass(frozen=True, slots=True)
class KVCache:
    """Keys and values of every layer, block by block.

    Attributes:
        data: `[num_layers, 2, num_blocks + 1, block_size, num_kv_heads, head_dim]`; index 0 of the
            second axis holds keys, 1 holds values.
        host: Tier 1, `[num_layers, 2, num_host_blocks, block_size, num_kv_heads, head_dim]` in the
            host's memory: blocks can be copied there and back, and nothing else.
    """

    data: Float[Tensor, "layers 2 blocks block_size kv_heads head_dim"]
    host: Float[Tensor, "layers 2 host_blocks block_size kv_heads head_dim"]

    @classmethod
    def allocate(
        cls,
        *,
        num_layers: int,
        num_blocks: int,
        block_size: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
        num_host_blocks: int = 0,
    ) -> "KVCache":
        """Zeroed memory: padding in a partly filled block is read (and masked), so never NaN."""
        shape = (num_layers, 2, num_blocks + 1, block_size, num_kv_heads, head_dim)
        host_shape = (num_layers, 2, num_host_blocks, block_size, num_kv_heads, head_dim)
        data = (
            _zeros_on_demand(shape, dtype)
            if device.type == "cpu"
            else torch.zeros(shape, dtype=dtype, device=device)
        )
        return cls(data, torch.zeros(host_shape, dtype=dtype))

    @property
    def num_blocks(self) -> int:
        """Blocks for sequences, the scratch block not counted."""
        return self.data.shape[2] - 1

    @property
    def scratch_block(self) -> int:
        """Id of the block that belongs to nobody."""
        return self.data.shape[2] - 1

    @property
    def block_size(self) -> int:
        """Token slots in a block."""
        return self.data.shape[3]

    def keys(self, layer: int) -> Float[Tensor, "blocks block_size kv_heads head_dim"]:
        """The keys of one layer, block by block (a view)."""
        return self.data[layer, 0]

    def values(self, layer: int) -> Float[Tensor, "blocks block_size kv_heads head_dim"]:
        """The values of one layer, block by block (a view)."""
        return self.data[layer, 1]

    def slots(self, layer: int) -> Float[Tensor, "2 slots kv_heads head_dim"]:
        """Keys and values of one layer by slot (a view)."""
        return self.data[layer].flatten(1, 2)

    def copy_blocks(self, copies: Iterable[BlockCopy]) -> None:
        """Copies blocks, within a tier or between two, one after the other."""
        for source, target in copies:
            self._tier(target)[:, :, target.block_id] = self._tier(source)[:, :, source.block_id]

    def _tier(self, block: BlockRef) -> Tensor:
        return self.data if block.tier == DEVICE_TIER else self.host

    def copy(self) -> "KVCache":
        """The same content in memory of its own."""
        return KVCache(self.data.clone(), self.host.clone())


def bytes_per_block(
    num_layers: int, block_size: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype
) -> int:
    """Bytes of one block over all layers, keys and values."""
    return num_layers * 2 * block_size * num_kv_heads * head_dim * dtype.itemsize


def _zeros_on_demand(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros that take no memory until they are written to.

    torch fills what it allocates, so a cache of 256 MiB would take them at once, used or not. numpy
    asks the system for empty pages, and the system gives each when it is first touched.
    """
    num_bytes = prod(shape) * dtype.itemsize
    try:
        memory = np.zeros(num_bytes + CACHE_LINE, np.uint8)
    except (MemoryError, ValueError) as error:  # numpy has a ValueError for what no index reaches
        raise OutOfDeviceMemoryError(
            f"a KV cache of {num_bytes:,} bytes does not fit into memory; lower num_blocks or "
            "block_size."
        ) from error
    first = -memory.ctypes.data % CACHE_LINE
    return torch.from_numpy(memory[first : first + num_bytes]).view(dtype).view(shape)
