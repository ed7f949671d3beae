"""`Batch`: one step as tensors, and `DeviceTables`, which turns a plan into one.

All sequences of a step lie one after the other in a single run of tokens, without padding:

    spans            seq 7: [5, 8)      seq 2: [30, 31)    seq 9: [0, 2)
    positions        5  6  7            30                 0  1
    query_starts     0                  3                  4          6
    context_lens     8                  31                 2
    slot_mapping     where each token's key and value go in the KV cache

`DeviceTables` is what a device remembers between steps, one row for each running sequence: what
`Joined` said, a copy of the block table (written only from `BlockUpdate`) and the tokens. A sampled
token is written into its row by the device itself, and the next step reads it there: it need not
wait for its value to travel to the scheduler and back.

It knows nothing of models. Read next: `paged/kv_cache.py`, the memory; then `runners/eager.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nanovllm_edu.core.plan import Joined, Spans, StepPlan, Tokens
from nanovllm_edu.core.request.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Batch:
    """One step on the device: S sequences, T tokens in all, R of them are sampled from.

    Attributes:
        token_ids: Input tokens, int64 [T].
        positions: Position of each token in its sequence, int64 [T].
        slot_mapping: KV slot each token is stored to, int64 [T].
        query_starts: Sequence i owns tokens [query_starts[i], query_starts[i+1]), int32 [S+1].
        context_lens: Length of each sequence's KV, this step's tokens included, int32 [S].
        block_tables: Physical blocks of each sequence, int32 [S, max_blocks]; entries past the
            context are arbitrary valid block ids.
        rows: Row of each sequence in the device's tables, int64 [S].
        logit_rows: Index into [0, T) of the tokens that are sampled from, int64 [R].
        sampled_rows: Row in the device's tables of each new token, int64 [R].
        sampled_positions: Where each new token will stand in its sequence, int64 [R].
        query_lens: How many tokens each sequence has in this step; on the host.
        max_query_len: The longest of them.
        max_context_len: Longest KV in the batch.
    """

    token_ids: Int[Tensor, " tokens"]
    positions: Int[Tensor, " tokens"]
    slot_mapping: Int[Tensor, " tokens"]
    query_starts: Int[Tensor, " starts"]
    context_lens: Int[Tensor, " sequences"]
    block_tables: Int[Tensor, "sequences max_blocks"]
    rows: Int[Tensor, " sequences"]
    logit_rows: Int[Tensor, " sampled"]
    sampled_rows: Int[Tensor, " sampled"]
    sampled_positions: Int[Tensor, " sampled"]
    query_lens: tuple[int, ...]
    max_query_len: int
    max_context_len: int

    @property
    def num_sequences(self) -> int:
        """S."""
        return len(self.query_lens)


class Row:
    """What the host knows of one row: facts that only sampling asks for."""

    __slots__ = ("joined", "sampling")

    def __init__(self, joined: Joined, sampling: SamplingParams) -> None:
        self.joined, self.sampling = joined, sampling


@dataclass(slots=True)
class DeviceTables:
    """What a runner remembers, by row; row `max_num_seqs` belongs to padding.

    Attributes:
        block_tables: int32 [max_num_seqs + 1, max_blocks]; unset entries hold the scratch block.
        token_ids: int64 [max_num_seqs + 1, max_model_len + 1].
        block_size: Tokens per block.
        rows: Who is where, and how it is sampled; on the host.
    """

    block_tables: Int[Tensor, "rows max_blocks"]
    token_ids: Int[Tensor, "rows max_len"]
    block_size: int
    rows: dict[int, Row] = field(default_factory=dict[int, Row])

    @classmethod
    def allocate(
        cls,
        max_num_seqs: int,
        max_model_len: int,
        block_size: int,
        scratch_block: int,
        device: torch.device,
    ) -> "DeviceTables":
        """Blank tables, every block entry pointing at the scratch block."""
        max_blocks = -(-max_model_len // block_size)
        rows = max_num_seqs + 1
        return cls(
            torch.full((rows, max_blocks), scratch_block, dtype=torch.int32, device=device),
            torch.zeros((rows, max_model_len + 1), dtype=torch.int64, device=device),
            block_size,
        )

    @property
    def max_num_seqs(self) -> int:
        """Rows for sequences, the padding row not counted."""
        return self.token_ids.shape[0] - 1

    @property
    def max_model_len(self) -> int:
        """Longest sequence a row holds."""
        return self.token_ids.shape[1] - 1

    def copy(self) -> "DeviceTables":
        """The same content in memory of its own."""
        rows = {row: Row(facts.joined, facts.sampling) for row, facts in self.rows.items()}
        tables, token_ids = self.block_tables.clone(), self.token_ids.clone()
        return DeviceTables(tables, token_ids, self.block_size, rows)

    def prepare(self, plan: StepPlan) -> Batch:
        """Takes in the plan's news and lays its spans out as a batch.

        Everything the host has to say crosses to the device in one packed copy.
        """
        self.take_facts(plan)
        spans = plan.spans
        rows = np.array(spans.rows, np.int64)
        starts = np.array(spans.starts, np.int64)
        query_lens = np.array(spans.nums_of_tokens, np.int64)
        query_starts = np.concatenate(([0], np.cumsum(query_lens)))
        ends = starts + query_lens
        fields = [
            *_new_blocks(plan),
            *_given_tokens(plan),
            *_cells(rows, starts, query_lens),
            rows,
            query_starts,
            ends,
            *_sampled(spans, rows, ends, query_starts),
        ]
        on_device = self._send(fields)
        self._write(*on_device[:6])
        token_rows, positions, rows, query_starts, context_lens, *sampled = on_device[6:]
        blocks = self.block_tables[token_rows, positions // self.block_size].long()
        max_context_len = int(ends.max())
        num_blocks = -(-max_context_len // self.block_size)
        return Batch(
            token_ids=self.token_ids[token_rows, positions],
            positions=positions,
            slot_mapping=blocks * self.block_size + positions % self.block_size,
            query_starts=query_starts.int(),
            context_lens=context_lens.int(),
            block_tables=self.block_tables[rows, :num_blocks],
            rows=rows,
            logit_rows=sampled[0],
            sampled_rows=sampled[1],
            sampled_positions=sampled[2],
            query_lens=tuple(query_lens.tolist()),
            max_query_len=int(query_lens.max()),
            max_context_len=max_context_len,
        )

    def take_in(self, plan: StepPlan) -> None:
        """Takes in all of the plan's news, for whoever needs no batch of it."""
        self.take_facts(plan)
        if plan.block_updates or plan.joined:
            self._write(*self._send([*_new_blocks(plan), *_given_tokens(plan)]))

    def take_facts(self, plan: StepPlan) -> None:
        """Takes in who left, who joined and who is sampled differently: on the host alone."""
        for row in plan.left:
            self.rows.pop(row, None)
        for joined in plan.joined:
            self.rows[joined.row] = Row(joined, joined.sampling)
        for update in plan.sampling_updates:
            self.rows[update.row].sampling = update.sampling

    def _write(
        self,
        block_rows: Tensor,
        block_columns: Tensor,
        block_ids: Tensor,
        token_rows: Tensor,
        positions: Tensor,
        token_ids: Tensor,
    ) -> None:
        """Writes new entries of the block tables, and tokens that came from the scheduler."""
        self.block_tables[block_rows, block_columns] = block_ids.int()
        self.token_ids[token_rows, positions] = token_ids

    def feed_back(self, batch: Batch, token_ids: Int[Tensor, " sampled"]) -> None:
        """Writes sampled tokens into the table, where the next step finds its input."""
        self.token_ids[batch.sampled_rows, batch.sampled_positions] = token_ids

    def _send(self, fields: list[np.ndarray]) -> list[Tensor]:
        """One host-to-device copy of several integer arrays; returns them as device tensors."""
        packed = torch.from_numpy(np.concatenate(fields).astype(np.int64, copy=False))
        device = self.block_tables.device
        if device.type == "cuda":
            packed = packed.pin_memory()
        packed = packed.to(device, non_blocking=True)
        return list(packed.split([len(array) for array in fields]))


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
