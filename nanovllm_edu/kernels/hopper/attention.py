"""Our own paged attention on a Hopper GPU: prompts in CUDA C++, the rest as in Triton.

A step in which every sequence has one new token is `kernels/triton/paged_decode.py`'s; steps that
are replayed from graphs have a faster one (`decode.py`), fused with what makes queries and keys.

Reference: `attention/reference.py`. Read next: `prefill.py`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from nanovllm_edu.kernels.hopper.prefill import HopperPrefill
from nanovllm_edu.kernels.triton.attention import TritonPagedAttention
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


class HopperPagedAttention(TritonPagedAttention):
    """Paged attention without flash-attn, for block sizes that are multiples of 16."""

    name = "hopper"

    def __init__(self) -> None:
        super().__init__()
        self._paged_prefill = HopperPrefill()

    def _prefill(self, batch: Batch, kv_cache: KVCache) -> Callable[[int, Tensor], Tensor]:
        def over_cache(layer: int, q: Tensor) -> Tensor:
            out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
            self._paged_prefill(
                q,
                kv_cache.data[layer],
                batch.block_tables,
                batch.query_starts,
                batch.context_lens,
                out,
            )
            return out

        return over_cache
