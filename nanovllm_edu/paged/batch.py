"""`Batch`: one step as tensors, and `DeviceTables`, which turns a plan into one.

All sequences of a step lie one after the other in a single row of tokens, without padding:

    chunks           seq 7: [5, 8)      seq 2: [30, 31)    seq 9: [0, 2)
    positions        5  6  7            30                 0  1
    query_starts     0                  3                  4          6
    context_lens     8                  31                 2
    slot_mapping     where each token's key and value go in the KV cache

`DeviceTables` is what a device remembers between steps, one row per slot: a copy of each block
table (written only from `Chunk.new_block_ids`) and the tokens seen so far. A sampled token is
written into its row by the device itself, and the next step reads it there: a decode chunk need not
wait for its value to travel to the scheduler and back.

It knows nothing of models. Read next: `runners/eager.py`.
"""

from array import array
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nanovllm_edu.core.plan import Chunk, StepPlan
from nanovllm_edu.core.token_ids import PACKED, TokenIds


@dataclass(frozen=True, slots=True)
class Batch:
    """One step on the device: S sequences, T tokens in all, R of the sequences are sampled.

    Attributes:
        token_ids: Input tokens, int64 [T].
        positions: Position of each token in its sequence, int64 [T].
        slot_mapping: KV slot each token is stored to, int64 [T].
        query_starts: Sequence i owns tokens [query_starts[i], query_starts[i+1]), int32 [S+1].
        context_lens: Length of each sequence's KV, this step's tokens included, int32 [S].
        block_tables: Physical blocks of each sequence, int32 [S, max_blocks]; entries past the
            context are arbitrary valid block ids.
        slots: Row of each sequence in the device's tables, int64 [S].
        sampled: Which sequences get a token, index into [0, S), int64 [R].
        logit_rows: Index into [0, T) of the tokens whose logits are sampled, int64 [R].
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
    slots: Int[Tensor, " sequences"]
    sampled: Int[Tensor, " rows"]
    logit_rows: Int[Tensor, " rows"]
    query_lens: tuple[int, ...]
    max_query_len: int
    max_context_len: int

    @property
    def num_sequences(self) -> int:
        """S."""
        return len(self.query_lens)


@dataclass(slots=True)
class DeviceTables:
    """Per-slot memory of a runner; row `max_num_seqs` belongs to padding.

    Attributes:
        block_tables: int32 [max_num_seqs + 1, max_blocks]; unset entries hold the scratch block.
        token_ids: int64 [max_num_seqs + 1, max_model_len + 1].
        block_size: Tokens per block.
    """

    block_tables: Int[Tensor, "rows max_blocks"]
    token_ids: Int[Tensor, "rows max_len"]
    block_size: int

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
        """Slots for sequences, the padding row not counted."""
        return self.token_ids.shape[0] - 1

    @property
    def max_model_len(self) -> int:
        """Longest sequence a row holds."""
        return self.token_ids.shape[1] - 1

    def copy(self) -> "DeviceTables":
        """The same content in memory of its own."""
        return DeviceTables(self.block_tables.clone(), self.token_ids.clone(), self.block_size)

    def prepare(self, plan: StepPlan) -> Batch:
        """Applies the plan's news to the tables and lays its chunks out as a batch.

        Everything the host has to say crosses to the device in one packed copy.
        """
        chunks = plan.chunks
        runs = [(chunk.slot, chunk.start, chunk.num_tokens) for chunk in chunks]
        slots, starts, query_lens = np.array(runs, np.int64).T
        query_starts = np.concatenate(([0], np.cumsum(query_lens)))
        sampled = np.flatnonzero([chunk.samples for chunk in chunks])
        fields = [
            *_new_blocks(chunks),
            *_given_tokens(chunks),
            *_cells(runs),
            slots,
            query_starts,
            starts + query_lens,
            sampled,
            query_starts[1:][sampled] - 1,
        ]
        on_device = self._send(fields)
        self.block_tables[on_device[0], on_device[1]] = on_device[2].int()
        self.token_ids[on_device[3], on_device[4]] = on_device[5]
        token_slots, positions, slots, query_starts, context_lens, *rows = on_device[6:]
        blocks = self.block_tables[token_slots, positions // self.block_size].long()
        max_context_len = int((starts + query_lens).max())
        num_blocks = -(-max_context_len // self.block_size)
        return Batch(
            token_ids=self.token_ids[token_slots, positions],
            positions=positions,
            slot_mapping=blocks * self.block_size + positions % self.block_size,
            query_starts=query_starts.int(),
            context_lens=context_lens.int(),
            block_tables=self.block_tables[slots, :num_blocks],
            slots=slots,
            sampled=rows[0],
            logit_rows=rows[1],
            query_lens=tuple(query_lens.tolist()),
            max_query_len=int(query_lens.max()),
            max_context_len=max_context_len,
        )

    def add_blocks(self, plan: StepPlan) -> None:
        """Writes the plan's new blocks into the block tables, and nothing else."""
        rows, columns, block_ids = self._send(list(_new_blocks(plan.chunks)))
        self.block_tables[rows, columns] = block_ids.int()

    def feed_back(self, batch: Batch, token_ids: Int[Tensor, " rows"]) -> None:
        """Writes sampled tokens into the table, where the next step finds its input."""
        ends = batch.context_lens[batch.sampled].long()
        self.token_ids[batch.slots[batch.sampled], ends] = token_ids

    def _send(self, fields: list[np.ndarray]) -> list[Tensor]:
        """One host-to-device copy of several integer arrays; returns them as device tensors."""
        packed = torch.from_numpy(np.concatenate(fields).astype(np.int64, copy=False))
        device = self.block_tables.device
        if device.type == "cuda":
            packed = packed.pin_memory()
        packed = packed.to(device, non_blocking=True)
        return list(packed.split([len(array) for array in fields]))


def _new_blocks(chunks: tuple[Chunk, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, column, block id) of every block table entry that is new in this step."""
    news = [(chunk.slot, chunk.first_block, len(chunk.new_block_ids)) for chunk in chunks]
    block_ids = chain.from_iterable(chunk.new_block_ids for chunk in chunks)
    return *_cells(news), np.array(list(block_ids), np.int64)


def _given_tokens(chunks: tuple[Chunk, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, position, token id) of every token whose value comes from the scheduler."""
    given = [(chunk.slot, chunk.start, chunk.token_ids) for chunk in chunks if chunk.token_ids]
    given += [(chunk.slot, 0, chunk.history_ids) for chunk in chunks if chunk.history_ids]
    values = array(PACKED)
    for _, _, token_ids in given:
        values.extend(token_ids.packed if isinstance(token_ids, TokenIds) else token_ids)
    runs = [(slot, start, len(token_ids)) for slot, start, token_ids in given]
    return *_cells(runs), np.frombuffer(values, np.int64)


def _cells(runs: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every cell of some runs, each given as (row, first column, length)."""
    rows, columns, lengths = np.array(runs, np.int64).reshape(-1, 3).T
    before = np.cumsum(lengths) - lengths
    return np.repeat(rows, lengths), np.repeat(columns - before, lengths) + np.arange(lengths.sum())
