"""Which steps are small: those that `taped.py` plays from a tape, and every other runner might.

It needs no torch: `virtual/work.py` asks as well, since a step that is not small costs more.

Read next: `tapes.py`.
"""

from itertools import compress

from nanovllm_edu.core.plan import Spans

MOST_TOKENS = 64
"""With more, the kernels take so long that Python hardly shows."""
MOST_FOR_EACH = 4
"""Tokens for each that is sampled from: a tape compares all of them with the vocabulary."""


def is_small(spans: Spans) -> bool:
    """Whether it has few tokens, and enough of them are sampled from."""
    count = sum(spans.nums_of_tokens)
    if not 0 < count <= MOST_TOKENS:
        return False
    num_sampled = sum(compress(spans.nums_drafted, spans.are_sampled)) + sum(spans.are_sampled)
    return count <= MOST_FOR_EACH * num_sampled
