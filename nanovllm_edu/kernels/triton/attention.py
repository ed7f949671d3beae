"""Our own paged attention: Triton kernels that walk the block table, for any block size from 4.

Two kernels, because two different things limit them: with one new token per sequence, streaming the
cache (`paged_decode.py`); with many, the GEMMs (`paged_prefill.py`).

Reference: `attention/reference.py`. Read next: `flash.py`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from nanovllm_edu.attention.base import Attend
from nanovllm_edu.kernels.triton.decode_operands import DecodeTiles, DecodeWorkspace, decode_tiles
from nanovllm_edu.kernels.triton.flash import LOG2_E
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.kernels.triton.paged_decode import launch_decode
from nanovllm_edu.kernels.triton.paged_prefill import paged_prefill
from nanovllm_edu.kernels.triton.store_kv import store_kv
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


class TritonPagedAttention:
    """Paged attention without flash-attn. float32 works too, exactly but slowly.

    Args:
        tiles: How decode cuts its work; by default what was measured best on an H200.
        prefill: Attends for many tokens of a sequence, with the arguments of `paged_prefill`.
    """

    name = "triton"

    def __init__(
        self, tiles: DecodeTiles | None = None, prefill: Callable[..., None] = paged_prefill
    ) -> None:
        self._tiles = tiles
        self._paged_prefill = prefill

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """See `AttentionBackend`."""
        if batch.max_query_len == 1:
            over_cache = self.decode(kv_cache, batch.block_tables, batch.context_lens)
        else:
            over_cache = self._prefill(batch, kv_cache)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store_kv(kv_cache, layer, batch.slot_mapping, k, v)
            return over_cache(layer, q)

        return attend

    def decode(
        self, kv_cache: KVCache, block_tables: Tensor, context_lens: Tensor
    ) -> Callable[[int, Tensor], Tensor]:
        """Attention of one query per row over the cache, the newest token's key included.

        Returns:
            (layer, queries `[rows, heads, head_dim]`) -> output of the same shape.
        """
        num_kv_heads, head_dim = kv_cache.data.shape[-2:]
        device = kv_cache.data.device
        table_rows = torch.arange(len(context_lens), device=device)
        max_context_len = block_tables.shape[1] * kv_cache.block_size
        workspace: list[DecodeWorkspace] = []  # made at the first layer, which knows the heads

        def over_cache(layer: int, q: Tensor) -> Tensor:
            if not workspace:
                workspace.append(
                    DecodeWorkspace.allocate(
                        len(table_rows), max_context_len, q.shape[1], num_kv_heads, head_dim,
                        device, self._tiles or decode_tiles(len(table_rows) * num_kv_heads),
                    )
                )  # fmt: skip
            out = torch.empty(q.shape, dtype=q.dtype, device=device)
            launch_decode(
                q,
                kv_cache.data[layer],
                out,
                block_tables,
                table_rows,
                context_lens,
                workspace[0],
                scale=head_dim**-0.5 * LOG2_E,
                options=launch_options(is_overlapped=False),
            )
            return out

        return over_cache

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
