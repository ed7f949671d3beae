"""Random steps for attention tests: mixed lengths, prefixes, shuffled block tables."""

from dataclasses import dataclass

import torch

from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache


@dataclass
class Case:
    """A step, a cache with random history in it, and this step's q, k and v."""

    batch: Batch
    kv_cache: KVCache
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor

    def attend(self, backend) -> torch.Tensor:
        """Runs the backend on a copy of the cache, so that cases can be used again."""
        return backend.bind(self.batch, self.kv_cache.copy())(1, self.q, self.k, self.v)


def cache_of(data: torch.Tensor) -> KVCache:
    """A cache whose blocks hold `data`, and with none in the host's memory."""
    return KVCache(data, data.new_empty((*data.shape[:2], 0, *data.shape[3:]), device="cpu"))


def make_case(
    lengths: list[tuple[int, int]],
    *,
    block_size: int = 4,
    num_heads: int = 4,
    num_kv_heads: int = 2,
    head_dim: int = 64,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> Case:
    """Builds a step from (new tokens, context length) of each sequence."""
    generator = torch.Generator().manual_seed(seed)
    blocks_each = [-(-context // block_size) for _, context in lengths]
    num_blocks = sum(blocks_each) + 3
    order = torch.randperm(num_blocks, generator=generator).tolist()
    tables = torch.full((len(lengths), max(blocks_each)), num_blocks, dtype=torch.int32)
    positions, slots = [], []
    for i, (query_len, context_len) in enumerate(lengths):
        blocks = [order.pop() for _ in range(blocks_each[i])]
        tables[i, : len(blocks)] = torch.tensor(blocks)
        for position in range(context_len - query_len, context_len):
            positions.append(position)
            slots.append(blocks[position // block_size] * block_size + position % block_size)
    query_lens = [query_len for query_len, _ in lengths]
    starts = torch.tensor([0, *query_lens]).cumsum(0)
    kv_cache = KVCache.allocate(
        num_layers=2,
        num_blocks=num_blocks,
        block_size=block_size,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        dtype=dtype,
        device=torch.device(device),
    )
    kv_cache.data.copy_(torch.randn(kv_cache.data.shape, generator=generator))
    num_tokens = int(starts[-1])
    batch = Batch(
        token_ids=torch.zeros(num_tokens, dtype=torch.int64, device=device),
        positions=torch.tensor(positions, device=device),
        slot_mapping=torch.tensor(slots, device=device),
        query_starts=starts.int().to(device),
        context_lens=torch.tensor([c for _, c in lengths], dtype=torch.int32, device=device),
        block_tables=tables.to(device),
        rows=torch.arange(len(lengths), device=device),
        logit_rows=(starts[1:] - 1).to(device),
        sampled_rows=torch.arange(len(lengths), device=device),
        sampled_positions=torch.tensor([c for _, c in lengths], device=device),
        query_lens=tuple(query_lens),
        max_query_len=max(query_lens),
        max_context_len=max(c for _, c in lengths),
    )

    def random(heads: int) -> torch.Tensor:
        return torch.randn(num_tokens, heads, head_dim, generator=generator).to(device, dtype)

    return Case(batch, kv_cache, random(num_heads), random(num_kv_heads), random(num_kv_heads))


STEPS = {
    "one prompt": [(7, 7)],
    "one decode": [(1, 13)],
    "first token only": [(1, 1)],
    "decode batch": [(1, 1), (1, 5), (1, 16), (1, 9)],
    "prompts": [(3, 3), (8, 8), (1, 1), (5, 5)],
    "prefix hits": [(3, 11), (4, 8), (1, 9)],
    "chunks inside a block": [(2, 3), (3, 6), (5, 10)],
    "mixed": [(1, 10), (6, 6), (1, 3), (2, 7), (1, 17)],
}
