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

import torch
from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.core.plan import DEVICE_TIER, BlockCopy, BlockRef


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
        data = torch.zeros(shape, dtype=dtype, device=device)
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
