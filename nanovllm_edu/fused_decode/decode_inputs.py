"""`DecodeInputs`: what a decode step reads and writes, at addresses that never change.

Read next: `decoder.py`.
"""

from dataclasses import dataclass, fields, replace

from torch import Tensor

_TABLES = ("token_table", "block_tables")


@dataclass(frozen=True)
class DecodeInputs:
    """What a step reads and writes, at fixed addresses; R rows, of which a step uses the first few.

    A padding row points at a table row of its own whose blocks are the scratch block, has a context
    length of 1 and does not advance.

    Attributes:
        token_table: int64 [slots, length], every sequence's tokens. A step reads each row's newest
            and writes the one after it.
        block_tables: int32 [slots, max_blocks].
        table_rows: int64 [R], each row's slot in these two tables.
        context_lens: int32 [R], tokens in the cache once this step has stored its own. A step adds
            `advances` when it is done.
        advances: int32 [R], 1 for sequences, 0 for padding.
        seeds: int64 [R].
        temperatures: float32 [R]; 0 is greedy.
        top_ks: int32 [R]; 0 is no filter.
        top_ps: float32 [R]; 1 is no filter.
        min_ps: float32 [R]; 0 is no filter.
        sampled: int64 [R], the step's result.
    """

    token_table: Tensor
    block_tables: Tensor
    table_rows: Tensor
    context_lens: Tensor
    advances: Tensor
    seeds: Tensor
    temperatures: Tensor
    top_ks: Tensor
    top_ps: Tensor
    min_ps: Tensor
    sampled: Tensor

    @property
    def options(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """How each row is sampled, in the order of the tables' own (`RowOptions.columns`)."""
        return self.seeds, self.temperatures, self.top_ks, self.top_ps, self.min_ps

    def rows(self, num_rows: int) -> "DecodeInputs":
        """The first rows (views)."""
        names = [field.name for field in fields(self) if field.name not in _TABLES]
        return replace(self, **{name: getattr(self, name)[:num_rows] for name in names})
