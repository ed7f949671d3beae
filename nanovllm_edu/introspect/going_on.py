"""Who goes on: most of a step is the step before, one token further.

    step 7     seq 0 at 37    seq 1 at 12    seq 2 at 90
    step 8     seq 0 at 38    seq 1 at 13                   seq 3 at 0 to 5
    is told    seq 2 left; a token for seq 0, one for seq 1; seq 3 in full

A page spells such a step out by itself (`viewer/js/going_on.js`), and whoever writes it need not
look at each sequence. It knows nothing of states. Read next: `introspect/view.py`.
"""

from collections.abc import Sequence
from itertools import compress, takewhile
from operator import add
from typing import NamedTuple

from nanovllm_edu.core.plan import Spans


class GoingOn(NamedTuple):
    """What a step's spans have in common with those of the step before.

    Attributes:
        left: Sequences of the step before that do not go on.
        seq_ids: The others, in their order: the first spans of this step are one token of each,
            right behind what went through the model before, and are sampled from.
    """

    left: Sequence[int]
    seq_ids: tuple[int, ...]


NOBODY = GoingOn((), ())


def going_on(before: Spans, now: Spans) -> GoingOn:
    """Who of the step before goes on now."""
    seq_ids = before.seq_ids
    ends = tuple(map(add, before.starts, before.nums_of_tokens))
    if seq_ids == now.seq_ids and ends == now.starts and _are_tokens(now):
        return GoingOn((), seq_ids)
    here = set(now.seq_ids)
    are_here = [seq_id in here for seq_id in seq_ids]
    expected = zip(compress(seq_ids, are_here), compress(ends, are_here), strict=True)
    pairs = zip(expected, now, strict=False)
    good = takewhile(lambda pair: _goes_on(*pair), pairs)
    stay = tuple(span.seq_id for _, span in good)
    kept = set(stay)
    return GoingOn([seq_id for seq_id in seq_ids if seq_id not in kept], stay)


def _are_tokens(spans: Spans) -> bool:
    """Whether each span is one token that is sampled from, and no guess is among them."""
    nums = spans.nums_of_tokens
    return nums.count(1) == len(nums) and all(spans.are_sampled) and not any(spans.nums_drafted)


def _goes_on(expected: tuple[int, int], span: tuple) -> bool:
    seq_id, _, start, num_tokens, _, num_drafted, is_sampled = span
    return (seq_id, start) == expected and num_tokens == 1 and is_sampled and not num_drafted
