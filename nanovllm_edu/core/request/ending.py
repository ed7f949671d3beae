"""How a sequence ends: by a token, by a text, or because it is long enough.

All that it takes is in the sequence itself: `Scheduler.add` wrote the model's limits into it. What
a text says is not known here: a judge of texts is asked (`text_judge.py`).

Read next: `core/memory/block_manager.py`.
"""

from collections.abc import Callable
from typing import NamedTuple

from nanovllm_edu.core.request.sequence import Sequence

FindStop = Callable[[Sequence, int], str | None]
"""Looks at a sequence and its next token, and returns the stop string that completes, if any.

It is asked about every token that does not end the sequence by itself; it keeps to `min_tokens`.
"""


class Ending(NamedTuple):
    """Why a sequence ends: "stop" or "length", and what is behind it."""

    reason: str
    detail: str


def ending_of(seq: Sequence, token_id: int, find_stop: FindStop | None) -> Ending | None:
    """How `seq` ends if `token_id` is its next token; None if it goes on."""
    params, num_tokens = seq.params, len(seq.token_ids) + 1
    num_generated = num_tokens - seq.num_prompt_tokens
    if num_generated > params.min_tokens and token_id in seq.ending_token_ids:
        if token_id in params.stop_token_ids:
            return Ending("stop", f"token {token_id} is one of its stop_token_ids")
        return Ending("stop", f"token {token_id} means end of sequence")
    if params.stop and find_stop and (text := find_stop(seq, token_id)) is not None:
        return Ending("stop", f"its text contains the stop string {text!r}")
    if params.max_tokens is not None and num_generated >= params.max_tokens:
        return Ending("length", f"max_tokens={params.max_tokens} reached")
    if num_tokens >= seq.max_num_tokens:
        return Ending("length", f"max_model_len={seq.max_num_tokens} reached")
    return None
