"""`Step`: a plan's spans laid out for the kernels, as `paged/batch.py` does it with tensors.

Read next: `decoder.py`.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from nanovllm_edu.core.plan import StepPlan
from nanovllm_edu.runners.checksum import Row


@dataclass(frozen=True)
class Step:
    """T tokens of S sequences, one sequence after the other.

    Attributes:
        token_ids: Input tokens, [T].
        positions: Each token's position in its sequence, int64 [T].
        sequences: Each token's line of `block_tables`, int64 [T].
        slots: KV slot each token is stored to, [T].
        block_tables: int32 [S, table_width]; entries past a sequence's blocks are 0.
        table_width: Blocks of the longest.
        sampled: Which of the T tokens are sampled from, span after span.
    """

    token_ids: list[int]
    positions: "array[int]"
    sequences: "array[int]"
    slots: list[int]
    block_tables: "array[int]"
    table_width: int
    sampled: list[int]


def lay_out(plan: StepPlan, rows: Mapping[int, Row], block_size: int) -> Step:
    """The plan's spans as a step. What is given in them is written to their rows first."""
    width = max(-(-span.end // block_size) for span in plan.spans)
    step = Step([], array("q"), array("q"), [], array("i"), width, [])
    for index, span in enumerate(plan.spans):
        row = rows[span.row]
        assert row.joined.seq_id == span.seq_id, "a span of a sequence that never joined its row"
        if span.given:
            row.token_ids[span.start :] = span.given
        table, positions = row.tables[0], range(span.start, span.end)
        step.token_ids.extend(row.token_ids[span.start : span.end])
        step.positions.extend(positions)
        step.sequences.extend([index] * span.num_tokens)
        step.slots.extend(table[p // block_size] * block_size + p % block_size for p in positions)
        used = table[: -(-span.end // block_size)]
        step.block_tables.extend(used + [0] * (width - len(used)))
        num_tokens = len(step.token_ids)
        step.sampled.extend(range(num_tokens - span.num_claimed, num_tokens))
    assert len(step.token_ids) == len(step.slots), "a token that is not known"
    return step
