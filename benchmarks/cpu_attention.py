"""How fast is our attention in C on one core, a layer at a time, next to torch's?

    python benchmarks/cpu_attention.py     # 15 seconds; prints a table in Markdown

Both read a paged cache, with 16 query heads, 8 KV heads and heads of 64; for torch the keys and
values of a sequence are gathered first (`attention/sdpa.py`). Time is the processor's, not the
clock's, so it holds on a busy machine too; each is the best of several, taken in turns.
"""

import os
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: processor time is to be one core's

import torch

from nanovllm_edu.attention.base import Attend
from nanovllm_edu.attention.sdpa import SdpaAttention
from nanovllm_edu.native.attention import NativeAttention
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.paged.layout import Layout

HEADS, KV_HEADS, HEAD_DIM, BLOCK_SIZE = 16, 8, 64, 16
REPEATS = 5
STEPS = {
    "a prompt of 2000": [(0, 2000)],
    "4 prompts of 500": [(0, 500)] * 4,
    "a prompt of 128": [(0, 128)],
    "a prompt of 24": [(0, 24)],
    "64 tokens behind 936": [(936, 64)],
    "8 times 6 tokens behind 494": [(494, 6)] * 8,
    "8 times 5 tokens behind 495": [(495, 5)] * 8,
    "16 new tokens behind 499": [(499, 1)] * 16,
}
"""(Tokens that are there, tokens of the step) of each sequence."""


def attends(lengths: list[tuple[int, int]]) -> tuple[list[Attend], list[torch.Tensor]]:
    """Both backends, bound to the same step, and its queries, keys and values."""
    most = max(map(sum, lengths))
    blocks_each = -(-most // BLOCK_SIZE)
    tables = DeviceTables.allocate(len(lengths), most, BLOCK_SIZE, 0, torch.device("cpu"))
    shuffled = torch.randperm(len(lengths) * blocks_each).int().view(len(lengths), blocks_each)
    tables.block_tables[:-1] = shuffled
    cache = KVCache.allocate(
        num_layers=1,
        num_blocks=shuffled.numel(),
        block_size=BLOCK_SIZE,
        num_kv_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    torch.nn.init.normal_(cache.data)
    rows = torch.arange(len(lengths))
    news = torch.tensor([num_new for _, num_new in lengths])
    ends = news.cumsum(0)
    layout = Layout(
        token_rows=rows.repeat_interleave(news),
        positions=torch.cat([torch.arange(n, n + new) for n, new in lengths]),
        query_starts=torch.cat([torch.zeros(1, dtype=torch.int64), ends]),
        context_lens=torch.tensor([*map(sum, lengths)]),
        rows=rows,
        logit_rows=ends - 1,
        sampled_rows=rows,
        sampled_positions=torch.tensor([*map(sum, lengths)]),
    )
    batch = tables.batch(layout, news.tolist(), most)
    num_tokens = int(ends[-1])
    inputs = [torch.randn(num_tokens, heads, HEAD_DIM) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    return [backend.bind(batch, cache) for backend in (NativeAttention(), SdpaAttention())], inputs


def main() -> None:
    """Measures all steps."""
    print("| step | ours, ms | torch, ms | torch / ours |")
    print("|---|---|---|---|")
    for name, lengths in STEPS.items():
        backends, inputs = attends(lengths)
        best = [float("inf")] * len(backends)
        for _ in range(REPEATS):
            for i, attend in enumerate(backends):
                begin = time.process_time()
                attend(0, *inputs)
                best[i] = min(best[i], time.process_time() - begin)
        ours, torchs = best
        print(f"| {name} | {ours * 1e3:.2f} | {torchs * 1e3:.2f} | {torchs / ours:.2f} |")


if __name__ == "__main__":
    main()
