"""Which kind of graph takes which spans of a step.

    one more token of a sequence that ran     a decode graph
    prompts, their chunks, guesses            a prefill graph
    both                                      a replay of each, or one prefill graph for all
    more than the largest prefill graph holds none: the eager runner

Who joins reads what the cache holds of it, and that may be a block which another sequence of the
same step fills. So it goes into the prefill graph, which runs last and stores all keys and values
before it reads any; also if its prompt is cached up to the last token, and it moves by one.

Read next: `runners/decode_graphs.py`, `runners/prefill_graphs.py`.
"""

from dataclasses import dataclass, field

from nanovllm_edu.core.plan import Spans, StepPlan
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.runners.prefill_graphs import size_for

BYTES_OF_A_DECODE = 1_900_000_000
"""What a GPU reads in the time that a decode graph takes beside its weights and keys."""

BYTES_OF_A_KEY = 168_000
"""What it reads while a prefill graph attends to one key more of the longest rider, in a layer."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A step's spans by the kind of graph that takes them."""

    decode: Spans = field(default_factory=Spans)
    prefill: Spans = field(default_factory=Spans)


def parts_of(plan: StepPlan, longest_rider: int) -> Parts | None:
    """The parts of a step; None if it has no spans, or no graph holds them.

    Args:
        plan: The step.
        longest_rider: Rows that decode go through the prefill graph of the others, if all their
            contexts are shorter.
    """
    spans = plan.spans
    is_decode = _are_decodes(plan)
    if all(is_decode):
        return Parts(decode=spans) if spans else None
    pairs = zip(spans.starts, is_decode, strict=True)
    longest = max((start for start, is_one in pairs if is_one), default=-1)
    if longest < longest_rider and size_for(spans) is not None:
        return Parts(prefill=spans)
    rows = list(zip(zip(*spans.columns, strict=True), is_decode, strict=True))
    decode, prefill = (Spans(row for row, is_one in rows if is_one is one) for one in (True, False))
    return None if size_for(prefill) is None else Parts(decode, prefill)


def _are_decodes(plan: StepPlan) -> list[bool]:
    """Of each span, whether it is one token of a sequence that ran before, and sampled from."""
    spans = plan.spans
    joined = {news.row for news in plan.joined}
    if not joined and set(spans.nums_of_tokens) == {1} and all(spans.are_sampled):
        return [True] * len(spans)  # nearly every step, so it is looked at in one go
    return [
        num_tokens == 1 and is_sampled and row not in joined
        for num_tokens, is_sampled, row in zip(
            spans.nums_of_tokens, spans.are_sampled, spans.rows, strict=True
        )
    ]


def longest_rider(model: Qwen3ForCausalLM) -> int:
    """Up to which context a row that decodes costs less in the prefill graph of others.

    There its attention is one program a head, which reads the keys one tile after the other, while
    a decode graph of its own reads all weights once more, and is many small kernels. Both constants
    are of an H200 (`benchmarks/mixed_steps.py`), in bytes at its 4.2 TB/s.
    """
    weights = sum(parameter.nbytes for parameter in model.parameters())
    return (weights + BYTES_OF_A_DECODE) // (BYTES_OF_A_KEY * model.config.num_layers)
