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

It knows nothing of models. Read next: `paged/layout.py`, which lays the spans out;
`paged/kv_cache.py`, the memory; then `runners/eager.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nanovllm_edu.core.plan import Joined, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.paged.layout import Layout, News


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

    __slots__ = ("joined", "masks", "sampling")

    def __init__(self, joined: Joined, sampling: SamplingParams) -> None:
        self.joined, self.sampling = joined, sampling
        self.masks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RowOptions:
    """How each row is sampled, where a kernel can read it; a row that nobody took is greedy.

    Attributes:
        seeds: int64 [rows].
        temperatures: float32 [rows]; 0 is greedy.
        top_ks: int32 [rows]; 0 is no filter.
        top_ps: float32 [rows]; 1 is no filter.
        min_ps: float32 [rows]; 0 is no filter.
    """

    seeds: Int[Tensor, " rows"]
    temperatures: Float[Tensor, " rows"]
    top_ks: Int[Tensor, " rows"]
    top_ps: Float[Tensor, " rows"]
    min_ps: Float[Tensor, " rows"]

    @classmethod
    def allocate(cls, num_rows: int, device: torch.device) -> "RowOptions":
        """Greedy rows."""
        return cls(
            torch.zeros(num_rows, dtype=torch.int64, device=device),
            torch.zeros(num_rows, device=device),
            torch.zeros(num_rows, dtype=torch.int32, device=device),
            torch.ones(num_rows, device=device),
            torch.zeros(num_rows, device=device),
        )

    @property
    def columns(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """All of them, in order."""
        return self.seeds, self.temperatures, self.top_ks, self.top_ps, self.min_ps

    def write(self, news: News) -> None:
        """Takes in what is new; `news` is on the device."""
        numbers = (news.temperatures, news.top_ps, news.min_ps)
        temperatures, top_ps, min_ps = (bits.view(torch.float64).float() for bits in numbers)
        values = (news.seeds, temperatures, news.top_ks.int(), top_ps, min_ps)
        for column, value in zip(self.columns, values, strict=True):
            column[news.option_rows] = value


@dataclass(slots=True)
class DeviceTables:
    """What a runner remembers, by row; row `max_num_seqs` belongs to padding.

    Attributes:
        block_tables: int32 [max_num_seqs + 1, max_blocks]; unset entries hold the scratch block.
        token_ids: int64 [max_num_seqs + 1, max_model_len + 1].
        block_size: Tokens per block.
        rows: Who is where, and how it is sampled; on the host.
        options: The part of that which kernels read.
    """

    block_tables: Int[Tensor, "rows max_blocks"]
    token_ids: Int[Tensor, "rows max_len"]
    block_size: int
    rows: dict[int, Row] = field(default_factory=dict[int, Row])
    options: RowOptions = field(init=False)

    def __post_init__(self) -> None:
        self.options = RowOptions.allocate(len(self.token_ids), self.token_ids.device)

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
        twin = DeviceTables(tables, token_ids, self.block_size, rows)
        for mine, its in zip(self.options.columns, twin.options.columns, strict=True):
            its.copy_(mine)
        return twin

    def prepare(self, plan: StepPlan) -> Batch:
        """Takes in the plan's news and lays its spans out as a batch."""
        self.take_in(plan)
        layout = Layout.of(plan.spans)
        on_device = Layout(*send(layout, self.block_tables.device))
        return self.batch(on_device, plan.spans.nums_of_tokens, int(layout.context_lens.max()))

    def batch(
        self,
        layout: Layout,
        query_lens: Sequence[int],
        max_context_len: int,
        max_query_len: int = 0,
    ) -> Batch:
        """The batch of a layout that is on the device; computed there, so a graph can record it.

        Args:
            layout: Where the tokens lie.
            query_lens: How many each sequence has; () where the host cannot know it.
            max_context_len: The longest, or a bound of it.
            max_query_len: A bound of the largest of `query_lens` where these are unknown.
        """
        blocks = self.block_tables[layout.token_rows, layout.positions // self.block_size].long()
        num_blocks = -(-max_context_len // self.block_size)
        return Batch(
            token_ids=self.token_ids[layout.token_rows, layout.positions],
            positions=layout.positions,
            slot_mapping=blocks * self.block_size + layout.positions % self.block_size,
            query_starts=layout.query_starts.int(),
            context_lens=layout.context_lens.int(),
            block_tables=self.block_tables[layout.rows, :num_blocks],
            rows=layout.rows,
            logit_rows=layout.logit_rows,
            sampled_rows=layout.sampled_rows,
            sampled_positions=layout.sampled_positions,
            query_lens=tuple(query_lens),
            max_query_len=max(query_lens, default=max_query_len),
            max_context_len=max_context_len,
        )

    def take_in(self, plan: StepPlan) -> None:
        """Takes in all of the plan's news; most decode steps have none."""
        self.take_facts(plan)
        resampled = dict.fromkeys(one.row for one in (*plan.joined, *plan.sampling_updates))
        if not (plan.block_updates or resampled or any(plan.spans.nums_drafted)):
            return
        facts = [(row, self.rows[row]) for row in resampled]
        on_host = News.of(plan, [(row, one.joined.seed, one.sampling) for row, one in facts])
        news = News(*send(on_host, self.block_tables.device))
        if len(news.block_rows):
            self.block_tables[news.block_rows, news.block_columns] = news.block_ids.int()
        if len(news.token_rows):
            self.token_ids[news.token_rows, news.positions] = news.token_ids
        if len(news.option_rows):
            self.options.write(news)

    def take_facts(self, plan: StepPlan) -> None:
        """Takes in who left, who joined and how they are sampled: on the host alone."""
        for row in plan.left:
            self.rows.pop(row, None)
        for joined in plan.joined:
            self.rows[joined.row] = Row(joined, joined.sampling)
        for update in plan.sampling_updates:
            self.rows[update.row].sampling = update.sampling
        for held in plan.masks:
            self.rows[held.row].masks = held.masks

    def feed_back(self, batch: Batch, token_ids: Int[Tensor, " sampled"]) -> None:
        """Writes sampled tokens into the table, where the next step finds its input."""
        self.token_ids[batch.sampled_rows, batch.sampled_positions] = token_ids


def send(
    columns: Sequence[Any], device: torch.device | str, dtype: type[np.number[Any]] = np.int64
) -> list[Tensor]:
    """Several lists of numbers, or arrays, in one copy that does not wait for the device."""
    packed = torch.from_numpy(np.concatenate([np.asarray(column, dtype) for column in columns]))
    if torch.device(device).type == "cuda":
        packed = packed.pin_memory()
    return list(packed.to(device, non_blocking=True).split([len(column) for column in columns]))
