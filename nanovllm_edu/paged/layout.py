"""A plan as arrays of integers: what it has to tell a device, and where each token of it lies.

    News     what is new: entries of the block tables, tokens, how rows are sampled
    Layout   the spans, one after the other in a single run of tokens (picture in `paged/batch.py`)

All of it is int64 on the host, so that it can cross to a device in one copy. It knows nothing of
tensors. Read next: `paged/batch.py`.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from nanovllm_edu.core.plan import Spans, StepPlan, Tokens
from nanovllm_edu.core.request.sampling_params import SamplingParams


class News(NamedTuple):
    """Three lists of cells to write; arrays on the host, or tensors on a device.

    Attributes:
        block_rows: Row of each new entry of the block tables.
        block_columns: Its column.
        block_ids: Its value.
        token_rows: Row of each token whose value comes from the scheduler.
        positions: Its position.
        token_ids: Its value.
        option_rows: Rows that are sampled differently from now on.
        seeds: Theirs, as are the following; the low 64 bits, signed.
        top_ks: 0 is no filter.
        temperatures: The bits of float64 numbers, like the two that follow.
        top_ps: 1 is no filter.
        min_ps: 0 is no filter.
    """

    block_rows: Any
    block_columns: Any
    block_ids: Any
    token_rows: Any
    positions: Any
    token_ids: Any
    option_rows: Any
    seeds: Any
    top_ks: Any
    temperatures: Any
    top_ps: Any
    min_ps: Any

    @classmethod
    def of(cls, plan: StepPlan, resampled: list[tuple[int, int, SamplingParams]]) -> "News":
        """What `plan` has to tell; `resampled` is (row, seed, options) of rows that it changes."""
        return cls(*_new_blocks(plan), *_given_tokens(plan), *_options(resampled))


class Layout(NamedTuple):
    """Where the tokens lie, as arrays or as tensors on a device: fields of `Batch`, and one more.

    Attributes:
        token_rows: Row of each token in the device's tables, [T].
    """

    token_rows: Any
    positions: Any
    rows: Any
    query_starts: Any
    context_lens: Any
    logit_rows: Any
    sampled_rows: Any
    sampled_positions: Any

    @classmethod
    def of(cls, spans: Spans) -> "Layout":
        """Lays the spans out in their order."""
        rows = np.array(spans.rows, np.int64)
        starts = np.array(spans.starts, np.int64)
        query_lens = np.array(spans.nums_of_tokens, np.int64)
        query_starts = np.concatenate(([0], np.cumsum(query_lens)))
        ends = starts + query_lens
        cells = _cells(rows, starts, query_lens)
        return cls(*cells, rows, query_starts, ends, *_sampled(spans, rows, ends, query_starts))


def _new_blocks(plan: StepPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, column, block id) of every block table entry that is new in this step."""
    updates = [update for update in plan.block_updates if update.group == 0]
    rows, firsts, lengths = _columns((u.row, u.first, len(u.block_ids)) for u in updates)
    block_ids = list(chain.from_iterable(update.block_ids for update in updates))
    return *_cells(rows, firsts, lengths), np.array(block_ids, np.int64)


def _given_tokens(plan: StepPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, position, token id) of every token whose value comes from the scheduler.

    What the cache holds of a sequence need not cross to the device, unless penalties look at it.
    """
    starts = dict(zip(plan.spans.rows, plan.spans.starts, strict=True))
    given: list[tuple[int, int, Tokens]] = []
    for joined in plan.joined:
        start = 0 if joined.sampling.needs_history else starts.get(joined.row, 0)
        given.append((joined.row, start, joined.token_ids[start:]))
    if any(plan.spans.nums_drafted):
        given += [(span.row, span.start, span.given) for span in plan.spans if span.given]
    rows, firsts, lengths = _columns((row, first, len(ids)) for row, first, ids in given)
    values = [np.array(ids, np.int64) for _, _, ids in given]
    return *_cells(rows, firsts, lengths), np.concatenate([np.zeros(0, np.int64), *values])


def _options(resampled: list[tuple[int, int, SamplingParams]]) -> tuple[np.ndarray, ...]:
    """(row, seed, top-k, and three numbers as bits) of each row."""
    params = [one for _, _, one in resampled]
    numbers = np.array([(p.temperature, p.top_p, p.min_p) for p in params], np.float64)
    return (
        np.array([row for row, _, _ in resampled], np.int64),
        np.array([seed % 2**64 for _, seed, _ in resampled], np.uint64).view(np.int64),
        np.array([p.top_k for p in params], np.int64),
        *numbers.reshape(-1, 3).T.copy().view(np.int64),
    )


def _sampled(
    spans: Spans, rows: np.ndarray, ends: np.ndarray, query_starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(index of the token, row, position of the new token) of all that is sampled."""
    counts = np.array(spans.nums_drafted, np.int64) + 1
    counts[~np.array(spans.are_sampled, bool)] = 0
    back = (
        np.repeat(np.cumsum(counts), counts) - np.arange(counts.sum()) - 1
    )  # from each span's end
    return (
        np.repeat(query_starts[1:], counts) - 1 - back,
        np.repeat(rows, counts),
        np.repeat(ends, counts) - back,
    )


def _columns(runs: Iterable[tuple[int, int, int]]) -> np.ndarray:
    return np.array(list(runs), np.int64).reshape(-1, 3).T


def _cells(
    rows: np.ndarray, firsts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every cell of some runs, each given as row, first column and length."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(rows, lengths), np.repeat(firsts - before, lengths) + np.arange(lengths.sum())
