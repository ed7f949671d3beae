"""`GraphInputs`: what a CUDA graph of a decode step reads, at addresses that never change.

A graph is a recording of kernels and of the addresses they were given, so a step can only be
replayed if its inputs are where they were. Row r of these tensors is one sequence. The graph itself
moves every row one token on, which leaves little for the host to say:

    same sequences, no new block    nothing
    a new block                     three integers: row and column of the block table, block id
    another set of sequences,       of every row its line in the tables and its length;
    or another temperature          the tables know how it is sampled

Rows are in order of context length, longest first: a GPU starts its programs in order, and whoever
starts last should have the least to do. All rows grow at the same rate, so the order stays right.

It knows nothing of kernels. Read next: `runners/cuda_graph.py`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nanovllm_edu.core.plan import Spans
from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.paged.batch import Batch, DeviceTables


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
        self._expected: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())  # rows, starts
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

    def update(self, spans: Spans) -> Sequence[int]:
        """Makes the rows those of `spans`, whose news the tables have taken in; sends what is new.

        Args:
            spans: One token of each sequence.

        Returns:
            The sequence of each row.
        """
        rows, starts = spans.rows, spans.starts
        if (rows, starts) != self._expected:
            order = np.argsort(-np.array(starts), kind="stable")
            self.order = order.tolist()
            self._seq_ids = np.array(spans.seq_ids)[order].tolist()
            self._send_rows(np.array(rows)[order], np.array(starts)[order] + 1)
        self._expected = rows, tuple([start + 1 for start in starts])
        return self._seq_ids

    def forget(self) -> None:
        """Somebody took a row over, is sampled differently, or was moved on in another way.

        The next step sends its rows.
        """
        self._expected = (), ()

    def clear(self) -> None:
        """Makes every row padding, so that a graph can be captured without touching a sequence."""
        self._send_rows(np.zeros(0, np.int64), np.zeros(0, np.int64))
        self.forget()

    def _send_rows(self, table_rows: np.ndarray, context_lens: np.ndarray) -> None:
        """One copy of who the rows are; how they are sampled, the tables know. The rest is padding.

        Args:
            table_rows: Each row's line in the tables.
            context_lens: Its context once the step has stored its token.
        """
        inputs, num_rows = self.tensors, len(table_rows)
        packed = np.empty((3, len(inputs.table_rows)), np.int64)
        for line, values, padding in zip(
            packed, (table_rows, context_lens, 1), (self._padding_row, 1, 0), strict=True
        ):
            line[:num_rows], line[num_rows:] = values, padding
        on_device = (
            torch.from_numpy(packed).pin_memory().to(inputs.table_rows.device, non_blocking=True)
        )
        for tensor, line in zip(
            (inputs.table_rows, inputs.context_lens, inputs.advances), on_device, strict=True
        ):
            tensor.copy_(line)
        for tensor, column in zip(inputs.options, self._tables.options.columns, strict=True):
            torch.index_select(column, 0, inputs.table_rows, out=tensor)

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
