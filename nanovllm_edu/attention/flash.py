"""Attention with flash-attn 2, which reads the paged cache through block tables by itself.

Two calls for two kinds of step:

    decode      one new token each: `flash_attn_with_kvcache`, which splits long contexts over the
                whole GPU
    any other   prompts, chunks of them, prefix hits, mixed: `flash_attn_varlen_func`

Both read keys and values from the cache, those of this step too: reading them where they were
computed, when nothing else is needed, is no faster.

Reference: `attention/reference.py`. Source: FlashAttention-2 (Dao, 2023).
"""

from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from nanovllm_edu.attention.base import Attend, Store, store
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache

BLOCK_SIZE_MULTIPLE = 256
"""flash-attn 2 loads whole tiles of keys by pages, so a page must hold whole tiles."""


def why_unavailable(
    device: torch.device, dtype: torch.dtype, head_dim: int, block_size: int
) -> str | None:
    """The reason, with its remedy, why flash-attn cannot be used here; None if it can."""
    if device.type != "cuda":
        return f"flash-attn needs a CUDA GPU, and device is {device}; use 'sdpa'"
    if find_spec("flash_attn") is None:
        return "flash-attn is not installed; `pip install 'nanovllm-edu[gpu]'`, or use 'triton'"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"flash-attn needs float16 or bfloat16, and dtype is {dtype}; use 'triton'"
    if head_dim > 256 or head_dim % 8:
        return f"flash-attn needs head_dim <= 256, a multiple of 8; here it is {head_dim}"
    if block_size % BLOCK_SIZE_MULTIPLE:
        return (
            f"flash-attn reads pages of a multiple of {BLOCK_SIZE_MULTIPLE} tokens, and "
            f"block_size={block_size}; set block_size={BLOCK_SIZE_MULTIPLE}, or use 'triton'"
        )
    return None


class FlashAttention:
    """flash-attn 2 over the paged KV cache.

    Args:
        store: Writes keys and values to their slots (a Triton kernel on a GPU).
    """

    name = "flash"

    def __init__(self, store: Store = store) -> None:
        flash_attn = import_module("flash_attn")  # only on a GPU; see `why_unavailable`
        self._varlen = flash_attn.flash_attn_varlen_func
        self._with_kvcache = flash_attn.flash_attn_with_kvcache
        self._store = store

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """See `AttentionBackend`."""
        if batch.max_query_len == 1:
            over_keys = self._decode(batch, kv_cache)
        else:
            over_keys = self._paged(batch, kv_cache)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self._store(kv_cache, layer, batch.slot_mapping, k, v)
            return over_keys(layer, q, k, v)

        return attend

    def _decode(self, batch: Batch, kv_cache: KVCache) -> Attend:
        def over_cache(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return self._with_kvcache(
                q.unsqueeze(1),
                kv_cache.keys(layer),
                kv_cache.values(layer),
                cache_seqlens=batch.context_lens,
                block_table=batch.block_tables,
                causal=True,
            ).squeeze(1)

        return over_cache

    def _paged(self, batch: Batch, kv_cache: KVCache) -> Attend:
        key_starts = torch.nn.functional.pad(
            batch.context_lens.cumsum(0, dtype=torch.int32), (1, 0)
        )

        def over_cache(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return self._varlen(
                q,
                kv_cache.keys(layer),
                kv_cache.values(layer),
                cu_seqlens_q=batch.query_starts,
                cu_seqlens_k=key_starts,
                max_seqlen_q=batch.max_query_len,
                max_seqlen_k=batch.max_context_len,
                causal=True,
                block_table=batch.block_tables,
            )

        return over_cache
