"""`GraphInputs`: what a CUDA graph of a decode step reads, at addresses that never change.

A graph is a recording of kernels and of the addresses they were given, so a step can only be
replayed if its inputs are where they were. Row r of these tensors is one sequence. The graph itself
moves every row one token on, which leaves little for the host to say:

    same sequences, no new block    nothing
    a new block                     three integers: row and column of the block table, block id
    another set of sequences,       every row anew
    or another temperature

Rows are in order of context length, longest first: a GPU starts its programs in order, and whoever
starts last should have the least to do. All rows grow at the same rate, so the order stays right.

It knows nothing of kernels. Read next: `runners/cuda_graph.py`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nanovllm_edu.core.plan import Spans, StepPlan
from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.paged.batch import Batch, DeviceTables, Row


class GraphInputs:
    """The rows of decode steps: on the device, and what the host remembers of them.

    Args:
        tables: Block tables and tokens by row; their last row belongs to padding.

    Attributes:
        order: For each row, the index of its span in the plan.
    """

    def __init__(self, tables: DeviceTables) -> None:
        device = tables.block_tables.device
        num_rows = tables.max_num_seqs
        self._padding_row = num_rows
        self._tables = tables
        self._expected: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())  # seq_ids, starts
        self.order: list[int] = []
        self._seq_ids: list[int] = []
        self.tensors = DecodeInputs(
            token_table=tables.token_ids,
            block_tables=tables.block_tables,
            table_rows=torch.full((num_rows,), num_rows, dtype=torch.int64, device=device),
            context_lens=torch.ones(num_rows, dtype=torch.int32, device=device),
            advances=torch.zeros(num_rows, dtype=torch.int32, device=device),
            seeds=torch.zeros(num_rows, dtype=torch.int64, device=device),
            temperatures=torch.zeros(num_rows, dtype=torch.float32, device=device),
            top_ks=torch.zeros(num_rows, dtype=torch.int32, device=device),
            top_ps=torch.ones(num_rows, dtype=torch.float32, device=device),
            min_ps=torch.zeros(num_rows, dtype=torch.float32, device=device),
            sampled=torch.zeros(num_rows, dtype=torch.int64, device=device),
        )

    def update(self, plan: StepPlan) -> Sequence[int]:
        """Makes the rows those of `plan`, which the tables have taken in; sends what is new.

        Returns:
            The sequence of each row.
        """
        spans = plan.spans
        is_expected = (spans.seq_ids, spans.starts) == self._expected
        if not is_expected or plan.sampling_updates or plan.joined:
            self.order = np.argsort(-np.array(spans.starts), kind="stable").tolist()
            self._send_rows(spans)
        self._expected = spans.seq_ids, tuple([start + 1 for start in spans.starts])
        return self._seq_ids

    def forget(self) -> None:
        """Another runner path moved the sequences on: the next step sends its rows."""
        self._expected = (), ()

    def clear(self) -> None:
        """Makes every row padding, so that a graph can be captured without touching a sequence."""
        inputs = self.tensors
        inputs.table_rows.fill_(self._padding_row)
        inputs.context_lens.fill_(1)
        inputs.advances.zero_()
        inputs.temperatures.zero_()
        self.forget()

    def _send_rows(self, spans: Spans) -> None:
        """One packed copy of every row; rows without a sequence become padding."""
        inputs = self.tensors
        table_rows = [spans.rows[index] for index in self.order]
        rows: list[Row] = [self._tables.rows[row] for row in table_rows]
        self._seq_ids = [row.joined.seq_id for row in rows]
        params = [row.sampling for row in rows]
        packed = np.zeros((8, len(inputs.table_rows)), np.int64)
        packed[0] = self._padding_row
        packed[1] = 1
        used = packed[:, : len(rows)]
        used[0] = table_rows
        used[1] = [spans.starts[index] + 1 for index in self.order]
        used[2] = 1
        used[3] = np.array([row.joined.seed % 2**64 for row in rows], np.uint64).view(np.int64)
        used[4] = [p.top_k for p in params]
        numbers = [(p.temperature, p.top_p, p.min_p) for p in params]
        used[5:] = np.array(numbers, np.float64).T.copy().view(np.int64)
        on_device = (
            torch.from_numpy(packed).pin_memory().to(inputs.table_rows.device, non_blocking=True)
        )
        inputs.table_rows.copy_(on_device[0])
        inputs.context_lens.copy_(on_device[1])
        inputs.advances.copy_(on_device[2])
        inputs.seeds.copy_(on_device[3])
        inputs.top_ks.copy_(on_device[4])
        floats = (inputs.temperatures, inputs.top_ps, inputs.min_ps)
        for tensor, row in zip(floats, on_device[5:], strict=True):
            tensor.copy_(row.view(torch.float64))

    def batch(self, num_rows: int) -> Batch:
        """The first rows as a `Batch`, computed on the device: part of what a graph records."""
        inputs, block_size = self.tensors, self._tables.block_size
        rows, context_lens = inputs.table_rows[:num_rows], inputs.context_lens[:num_rows]
        positions = context_lens.long() - 1
        block_tables = inputs.block_tables[rows]
        blocks = block_tables.gather(1, (positions // block_size)[:, None]).squeeze(1).long()
        device = rows.device
        return Batch(
            token_ids=inputs.token_table[rows, positions],
            positions=positions,
            slot_mapping=blocks * block_size + positions % block_size,
            query_starts=torch.arange(num_rows + 1, dtype=torch.int32, device=device),
            context_lens=context_lens,
            block_tables=block_tables,
            rows=rows,
            logit_rows=torch.arange(num_rows, device=device),
            sampled_rows=rows,
            sampled_positions=context_lens.long(),
            query_lens=(1,) * num_rows,
            max_query_len=1,
            # A graph must serve every length, so it is captured for the longest.
            max_context_len=block_tables.shape[1] * block_size,
        )

    def feed_back(self, token_ids: Tensor) -> None:
        """Does what a graph without sampling leaves to do: writes the tokens, moves on by one."""
        inputs = self.tensors
        rows = inputs.table_rows[: len(token_ids)]
        context_lens = inputs.context_lens[: len(token_ids)]
        inputs.token_table[rows, context_lens.long()] = token_ids
        context_lens.add_(1)
