"""The contract of attention over a paged KV cache.

A backend is bound to one step (`Batch`) and one `KVCache`; what comes back is a function that a
model calls once per layer. The metadata of a step is an argument here, never a global.

For each layer, `attend` does two things in this order:

1. Store: the new keys and values go to the slots in `batch.slot_mapping`.
2. Attend: token t of a sequence with n new tokens and context length c has position c - n + t, and
   sees the keys at positions [0, c - n + t + 1) of its own sequence, found through its block table.

Storing for the whole batch comes first, so a sequence may read blocks that another sequence of the
same step has just filled.

Read next: `attention/reference.py`.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


@runtime_checkable
class Attend(Protocol):
    """Stores one layer's keys and values and returns its attention output."""

    def __call__(
        self,
        layer: int,
        q: Float[Tensor, "tokens heads head_dim"],
        k: Float[Tensor, "tokens kv_heads head_dim"],
        v: Float[Tensor, "tokens kv_heads head_dim"],
    ) -> Float[Tensor, "tokens heads head_dim"]: ...


@runtime_checkable
class AttentionBackend(Protocol):
    """A way of attending over paged memory."""

    name: str

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """Prepares what all layers of this step share, and returns the per-layer function."""
        ...


@runtime_checkable
class Store(Protocol):
    """Writes one layer's new keys and values to their slots."""

    def __call__(
        self, kv_cache: KVCache, layer: int, slot_mapping: Tensor, k: Tensor, v: Tensor
    ) -> None: ...


def store(
    kv_cache: KVCache,
    layer: int,
    slot_mapping: Tensor,
    k: Float[Tensor, "tokens kv_heads head_dim"],
    v: Float[Tensor, "tokens kv_heads head_dim"],
) -> None:
    """Writes keys and values to their slots: step 1 of the contract."""
    slots = kv_cache.slots(layer)
    slots[0].index_copy_(0, slot_mapping, k)
    slots[1].index_copy_(0, slot_mapping, v)
