"""The smallest possible `attend`: one sequence, its keys and values kept whole, no cache blocks."""

from collections import defaultdict

import torch
from torch import Tensor
from torch.nn import functional as F


class DenseAttend:
    """Appends each step's keys and values per layer and attends causally over all of them."""

    def __init__(self) -> None:
        self._keys: dict[int, list[Tensor]] = defaultdict(list)
        self._values: dict[int, list[Tensor]] = defaultdict(list)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self._keys[layer].append(k)
        self._values[layer].append(v)
        keys, values = torch.cat(self._keys[layer]), torch.cat(self._values[layer])
        num_queries, num_keys = len(q), len(keys)
        offset = num_keys - num_queries
        is_visible = torch.ones(num_queries, num_keys, dtype=torch.bool).tril(offset)
        out = F.scaled_dot_product_attention(
            q.transpose(0, 1)[None],
            keys.transpose(0, 1)[None],
            values.transpose(0, 1)[None],
            attn_mask=is_visible,
            enable_gqa=True,
        )
        return out[0].transpose(0, 1)
