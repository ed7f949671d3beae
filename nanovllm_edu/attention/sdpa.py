"""Attention with torch's `scaled_dot_product_attention`: runs everywhere, in every dtype.

torch cannot read through a block table, so keys and values are first gathered into padded
rectangles. `attention/rectangles.py` decides, once per step, who shares one.

Slow twin: `attention/reference.py`.
"""

from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nanovllm_edu.attention.base import Attend, store
from nanovllm_edu.attention.rectangles import (
    DecodeGroup,
    Rectangle,
    decode_groups,
    prefill_rectangles,
)
from nanovllm_edu.attention.shared_prefix import join
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


class SdpaAttention:
    """Gathers a step's keys and values into rectangles for torch's fused attention."""

    name = "sdpa"

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """See `AttentionBackend`."""
        prompts = list(prefill_rectangles(batch, kv_cache))
        groups = list(decode_groups(batch, kv_cache))
        sizes = [len(group.tokens) for group in (*prompts, *groups)]
        order = torch.tensor(
            list(chain(*(group.tokens for group in (*prompts, *groups)))),
            device=batch.rows.device,
        )
        back = order.argsort()

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(kv_cache, layer, batch.slot_mapping, k, v)
            slots = kv_cache.slots(layer)
            queries = iter(q.index_select(0, order).split(sizes))
            parts = [_prefill(rectangle, next(queries), slots) for rectangle in prompts]
            parts += [_decode(group, next(queries), slots) for group in groups]
            return torch.cat(parts).index_select(0, back)

        return attend


def _prefill(
    rectangle: Rectangle,
    q: Float[Tensor, "tokens heads head_dim"],
    slots: Float[Tensor, "2 slots kv_heads head_dim"],
) -> Float[Tensor, "tokens heads head_dim"]:
    """Several queries of one sequence, each seeing the keys up to its own position."""
    keys, values = _gather(rectangle, slots)
    out = scaled_dot_product_attention(
        q.transpose(0, 1).unsqueeze(0),
        keys,
        values,
        attn_mask=rectangle.mask,
        is_causal=rectangle.mask is None,
        enable_gqa=True,
    )
    return out.squeeze(0).transpose(0, 1)


def _decode(
    group: DecodeGroup,
    q: Float[Tensor, "tokens heads head_dim"],
    slots: Float[Tensor, "2 slots kv_heads head_dim"],
) -> Float[Tensor, "tokens heads head_dim"]:
    """One query per sequence, over what is its own and then over what all of them share."""
    queries = q.split([rectangle.num_sequences for rectangle in group.rectangles])
    pairs = list(zip(group.rectangles, queries, strict=True))
    if group.prefix is None:
        return torch.cat([_attend(*pair, slots) for pair in pairs])
    outs, lses = zip(*(_attend_with_lse(*pair, slots) for pair in pairs), strict=True)
    shared = _attend_with_lse(group.prefix, q, slots)
    return join((torch.cat(outs), torch.cat(lses)), shared)


def _attend(rectangle: Rectangle, q: Tensor, slots: Tensor) -> Tensor:
    """Every query over all keys of its sequence but the masked ones."""
    keys, values = _gather(rectangle, slots)
    queries = _by_kv_head(q, keys)
    out = scaled_dot_product_attention(queries, keys, values, attn_mask=rectangle.mask)
    return _by_token(out, q)


def _attend_with_lse(rectangle: Rectangle, q: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and the log-sum-exp of each query's scores, which torch's front door hides."""
    keys, values = _gather(rectangle, slots)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        _by_kv_head(q, keys), keys, values, attn_mask=rectangle.mask
    )
    return _by_token(out, q), _by_token(lse, q)


def _gather(rectangle: Rectangle, slots: Float[Tensor, "2 slots kv_heads head_dim"]):
    """Keys and values of a rectangle, each `[n, kv_heads, context, head_dim]`."""
    return [
        kind.index_select(0, rectangle.slots)
        .view(rectangle.num_sequences, -1, *kind.shape[1:])
        .transpose(1, 2)
        for kind in slots
    ]


def _by_kv_head(
    q: Float[Tensor, "tokens heads head_dim"],
    keys: Float[Tensor, "n kv_heads context head_dim"],
) -> Float[Tensor, "n kv_heads queries head_dim"]:
    """The heads that share a KV head become its queries, so that no key is repeated."""
    n, num_kv_heads, _, head_dim = keys.shape
    per_sequence = q.view(n, q.shape[0] // n, num_kv_heads, -1, head_dim)
    return per_sequence.transpose(1, 2).flatten(2, 3)


def _by_token(out: Tensor, q: Float[Tensor, "tokens heads head_dim"]) -> Tensor:
    """Undoes `_by_kv_head`, for outputs `[n, kv_heads, queries, head_dim]` or their `lse`."""
    num_tokens, num_heads, _ = q.shape
    per_head = out.unflatten(2, (num_tokens // out.shape[0], num_heads // out.shape[1]))
    return per_head.transpose(1, 2).reshape(num_tokens, num_heads, *out.shape[3:])
