"""How a sequence ends: by a token, by a text, or because it is long enough.

All that it takes is in the sequence itself: `Scheduler.add` wrote the model's limits into it.

Read next: `core/memory/block_manager.py`.
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import NamedTuple

from nanovllm_edu.core.request.sequence import Sequence

FindStop = Callable[[Sequence, Seq[int]], str | None]
"""Looks at a sequence and its next tokens, and returns the stop string that completes with the last
of them, if any."""


class Ending(NamedTuple):
    """Why a sequence ends, and what is behind it.

    Attributes:
        reason: "stop", "length" or "error".
        detail: What is behind it.
    """

    reason: str
    detail: str


def settle(
    seq: Sequence, tokens: tuple[int, ...], find_stop: FindStop | None
) -> tuple[tuple[int, ...], Ending | None]:
    """Which of the tokens that came are the sequence's, and how it ends if it does.

    What comes after an ending is nobody's.
    """
    may_end = (
        len(seq.token_ids) + len(tokens) >= seq.max_num_tokens
        or not seq.ending_token_ids.isdisjoint(tokens)
        or seq.params.stop
    )
    if may_end:
        for count in range(1, len(tokens) + 1):
            if ending := ending_of(seq, tokens[:count], find_stop):
                return tokens[:count], ending
    return tokens, None


def ending_of(seq: Sequence, tokens: Seq[int], find_stop: FindStop | None) -> Ending | None:
    """How `seq` ends with the last of its next `tokens`; None if it goes on."""
    params, num_tokens, token_id = seq.params, len(seq.token_ids) + len(tokens), tokens[-1]
    if token_id in params.stop_token_ids:
        return Ending("stop", f"token {token_id} is one of its stop_token_ids")
    if token_id in seq.ending_token_ids:
        return Ending("stop", f"token {token_id} means end of sequence")
    if params.stop and find_stop and (text := find_stop(seq, tokens)) is not None:
        return Ending("stop", f"its text contains the stop string {text!r}")
    if num_tokens - seq.num_prompt_tokens >= params.max_tokens:
        return Ending("length", f"max_tokens={params.max_tokens} reached")
    if num_tokens >= seq.max_num_tokens:
        return Ending("length", f"max_model_len={seq.max_num_tokens} reached")
    return None
