"""Exercises of lesson 04, paged attention: read through the block table, then piece by piece."""

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.attention.base import Attend, store
from nanovllm_edu.attention.reference import attend_one, gather
from nanovllm_edu.lessons.checks import finish, generated, greedy, items, require
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.tensors import tensor
from nanovllm_edu.llm import LLM
from nanovllm_edu.paged.batch import Batch
from nanovllm_edu.paged.kv_cache import KVCache

PROMPTS = ([50, 51, 52, 53, 54, 55, 56, 57, 58], [60, 61, 62])
BLOCK_SIZE, NUM_NEW = 4, 4


@cache
def _llm() -> LLM:
    return LLM(block_size=BLOCK_SIZE, num_blocks=16)


class OneQueryBackend:
    """An attention backend that calls `attend(q, key_blocks, value_blocks, table, length)`."""

    name = "yours"

    def __init__(self, attend: Callable[..., Tensor]) -> None:
        self.attend = attend

    def bind(self, batch: Batch, kv_cache: KVCache) -> Attend:
        """Stores a step's keys and values, then attends its queries one by one."""

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(kv_cache, layer, batch.slot_mapping, k, v)
            keys, values = kv_cache.keys(layer), kv_cache.values(layer)
            rows: list[Tensor] = []
            for i, query_len in enumerate(batch.query_lens):
                table = batch.block_tables[i].tolist()
                context_len = int(batch.context_lens[i])
                for position in range(context_len - query_len, context_len):
                    out = self.attend(q[len(rows)], keys, values, table, position + 1)
                    rows.append(tensor(out, tuple(q.shape[1:]), "The attention of one query"))
            return torch.stack(rows)

        return attend


def _run_in_engine(attend: Callable[..., Tensor]) -> int:
    """Serves the prompts with the learner's attention; returns how often it was called."""
    llm = _llm()
    want = [o.token_ids for o in llm.generate(list(PROMPTS), greedy(NUM_NEW), use_tqdm=False)]
    num_calls = 0

    def counted(*arguments: Any) -> Tensor:
        nonlocal num_calls
        num_calls += 1
        return attend(*arguments)

    engine = llm.engine.fork(enable_prefix_caching=False)
    engine.runner.backend = OneQueryBackend(counted)  # pyright: ignore
    first = min(engine.add_request(list(prompt), greedy(NUM_NEW)) for prompt in PROMPTS)
    got = generated(finish(engine))
    for i, tokens in enumerate(want):
        require(
            got[first + i] == tokens,
            f"In the engine, sequence {i} got {got[first + i]} instead of {tokens}.",
        )
    return num_calls


# ------------------------------------------------------------------ 04.1 one query, paged


def _check_paged_attention(paged_attention: Callable[..., Any], random: Random) -> str:
    cases = (([4, 1], 8), ([4, 1, 3], 6), ([2], 1), ([5, 0, 3], 11))
    _compare_attention(paged_attention, cases, seed=0)
    tables = [random.sample(range(6), random.randint(1, 5)) for _ in range(4)]
    fresh = [(table, random.randint(1, 4 * len(table))) for table in tables]
    _compare_attention(paged_attention, fresh, random.randrange(2**31))
    num_calls = _run_in_engine(paged_attention)
    return f"The engine called your attention {num_calls} times and gave the same tokens."


def _compare_attention(
    paged_attention: Callable[..., Any], cases: Sequence[tuple[list[int], int]], seed: int
) -> None:
    """Cases are (block table, context_len)."""
    generator = torch.Generator().manual_seed(seed)
    keys, values = torch.randn(2, 6, 4, 2, 8, generator=generator)
    q = torch.randn(4, 8, generator=generator)
    for table, length in cases:
        want = attend_one(q, *_gathered(keys, values, table, length))
        got = paged_attention(q, keys, values, list(table), length)
        got = tensor(got, (4, 8), "The attention of one query [heads, head_dim]")
        if not torch.allclose(got, want, atol=1e-5):
            off = (got - want).abs().max().item()
            why = _why_paged(got, q, keys, values, table, length)
            require(
                False,
                f"Block table {table}, {length} tokens: your output is off by {off:.2f}.{why}",
            )


def _gathered(keys: Tensor, values: Tensor, table: list[int], length: int) -> tuple[Tensor, Tensor]:
    blocks = torch.tensor(table)
    return gather(keys, blocks, length), gather(values, blocks, length)


def _why_paged(
    got: Tensor, q: Tensor, keys: Tensor, values: Tensor, table: list[int], length: int
) -> str:
    k, v = _gathered(keys, values, table, length)
    whole = _gathered(keys, values, table, len(table) * keys.shape[1])
    first = _gathered(keys, values, list(range(len(table))), length)
    mistakes = {
        "You read the blocks in physical order; follow the block table.": attend_one(q, *first),
        "You read the last block to its end; only `context_len` tokens count.": attend_one(
            q, *whole
        ),
        "Divide the scores by sqrt(head_dim).": attend_one(q * 8**0.5, k, v),
        "Heads 0 and 1 share KV head 0, heads 2 and 3 share KV head 1.": attend_one(
            q[[0, 2, 1, 3]], k, v
        )[[0, 2, 1, 3]],
        "Softmax is over the keys, not over the heads.": _softmax_over_heads(q, k, v),
    }
    for text, wrong in mistakes.items():
        if torch.allclose(got, wrong, atol=1e-5):
            return f" {text}"
    return ""


def _softmax_over_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = (x.repeat_interleave(2, dim=1) for x in (k, v))
    scores = torch.einsum("hd,thd->ht", q, k) / 8**0.5
    return torch.einsum("ht,thd->hd", scores.softmax(dim=0), v)


PAGED_ATTENTION = Exercise(
    "04.1",
    "Attention through a block table",
    "paged_attention",
    "hard",
    (
        "First collect the sequence's keys in order, then it is ordinary attention.",
        "keys[block_table] gives the blocks in order; flatten the first two axes and keep "
        "context_len rows. Query head h uses KV head h // (num_heads // num_kv_heads).",
        "k = keys[block_table].flatten(0, 1)[:context_len].repeat_interleave(group, 1); scores = "
        'einsum("hd,thd->ht", q, k) / head_dim**0.5; softmax over t; einsum("ht,thd->hd", ...).',
    ),
    _check_paged_attention,
)


# ------------------------------------------------------------------------- 04.2 merging pieces


def attend_piece(q: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Attention of one query over some keys, not yet divided.

    Args:
        q: Queries `[heads, head_dim]`.
        keys: `[tokens, kv_heads, head_dim]`.
        values: Likewise.

    Returns:
        highest `[heads]`, the largest score; total `[heads]`, the sum of exp(score - highest);
        acc `[heads, head_dim]`, the sum of exp(score - highest) * value.
    """
    group = q.shape[0] // keys.shape[1]
    keys, values = (x.repeat_interleave(group, dim=1) for x in (keys, values))
    scores = torch.einsum("hd,thd->ht", q, keys) / q.shape[1] ** 0.5
    highest = scores.max(dim=1).values
    weights = (scores - highest[:, None]).exp()
    return highest, weights.sum(dim=1), torch.einsum("ht,thd->hd", weights, values)


def _check_merge(merge: Callable[..., Any], random: Random) -> str:
    _check_cuts(merge, (4, 8, 1), seed=1)
    _check_cuts(merge, random.sample(range(1, 12), 3), random.randrange(2**31))
    big = tuple(torch.tensor(x) for x in ([1000.0], [1.0], [[1.0, 2.0]]))
    merged = _state(merge(big, big), 1, 2)
    require(
        bool(torch.isfinite(merged[2]).all() and torch.isfinite(merged[1]).all()),
        "With scores around 1,000 your result is not finite: exp(1000) overflows. Subtract the "
        "larger `highest` before you exponentiate.",
    )
    num_calls = _run_in_engine(lambda *arguments: _piecewise(merge, *arguments))
    return f"{num_calls} attentions, block by block, merged by you: the engine's own tokens."


def _check_cuts(merge: Callable[..., Any], cuts: Sequence[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q = 3 * torch.randn(4, 8, generator=generator)
    keys, values = torch.randn(2, 12, 2, 8, generator=generator)
    want = attend_piece(q, keys, values)
    for cut in cuts:
        left = attend_piece(q, keys[:cut], values[:cut])
        right = attend_piece(q, keys[cut:], values[cut:])
        _compare_merged(_state(merge(left, right), 4, 8), want, left, right, cut)


def _state(got: Any, num_heads: int, head_dim: int) -> list[Tensor]:
    """The learner's three tensors."""
    what = "What you return, (highest, total, acc),"
    parts = items(got, what)
    shapes = ((num_heads,), (num_heads,), (num_heads, head_dim))
    require(
        len(parts) == 3,
        f"Return (highest, total, acc); you gave {len(parts)} parts ({type(got).__name__}).",
    )
    named = zip(("highest", "total", "acc"), parts, shapes, strict=True)
    return [tensor(part, shape, f"`{name}`") for name, part, shape in named]


def _compare_merged(got: list[Tensor], want: Any, left: Any, right: Any, cut: int) -> None:
    names = ("highest", "total", "acc")
    plain = (torch.maximum(left[0], right[0]), left[1] + right[1], left[2] + right[2])
    for name, mine, wanted, summed in zip(names, got, want, plain, strict=True):
        if torch.allclose(mine, wanted, atol=1e-4, rtol=1e-4):
            continue
        why = ""
        if name == "highest":
            why = " The highest score of both pieces is the larger of the two."
        elif torch.allclose(mine, summed, atol=1e-4):
            why = (
                " The two pieces were measured from different highest scores: scale each by "
                "exp(its highest - new highest) before adding."
            )
        off = (mine - wanted).abs().max().item()
        require(False, f"Keys cut at {cut}: `{name}` is off by {off:.2f}.{why}")


def _piecewise(
    merge: Callable[..., Any],
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    table: list[int],
    length: int,
) -> Tensor:
    state = None
    for i in range(-(-length // BLOCK_SIZE)):
        num = min(BLOCK_SIZE, length - i * BLOCK_SIZE)
        piece = attend_piece(q, keys[table[i]][:num], values[table[i]][:num])
        state = piece if state is None else tuple(_state(merge(state, piece), *q.shape))
    assert state is not None
    return state[2] / state[1][:, None]


MERGE = Exercise(
    "04.2",
    "Merge two pieces",
    "merge",
    "hard",
    (
        "Both pieces left out a factor exp(highest), each its own. Bring them to a common one.",
        "new = maximum of the two highest. A piece measured from `highest` must be multiplied by "
        "exp(highest - new).",
        "a, b = exp(left[0] - new), exp(right[0] - new); total = a * left[1] + b * right[1]; acc = "
        "a[:, None] * left[2] + b[:, None] * right[2].",
    ),
    _check_merge,
)

EXERCISES = (PAGED_ATTENTION, MERGE)
