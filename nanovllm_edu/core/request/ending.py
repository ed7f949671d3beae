"""How a sequence ends: by a token, by a text, or because it is long enough.

All that it takes is in the sequence itself: `Scheduler.add` wrote the model's limits into it. What
its text says is not known here: the sequence's judge is asked, if it has one.

Read next: `core/memory/block_manager.py`.
"""

from typing import NamedTuple

from nanovllm_edu.core.request.judges import Grammar
from nanovllm_edu.core.request.sequence import Sequence


class Ending(NamedTuple):
    """Why a sequence ends, and what is behind it.

    Attributes:
        reason: "stop", "length", "abort" or "error".
        detail: What is behind it.
        stop_reason: The stop string, or the one of `stop_token_ids`, that ended it.
    """

    reason: str
    detail: str
    stop_reason: int | str | None = None


def settle(seq: Sequence, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], Ending | None]:
    """Which of the tokens that came are the sequence's, and how it ends if it does.

    What comes after an ending is nobody's. A judge that fails ends its own sequence and no other.
    """
    if seq.grammar is None:
        return _settled(seq, tokens)
    num_came, num_allowed = len(tokens), seq.grammar.accept(tokens)
    tokens, ending = _settled(seq, tokens[:num_allowed])
    return tokens, ending or _by_grammar(seq.grammar, is_refused=num_allowed < num_came)


def _settled(seq: Sequence, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], Ending | None]:
    """As it is without a grammar."""
    num_left = seq.max_num_tokens - len(seq.token_ids)
    if num_left > len(tokens) and not seq.judge and seq.ending_token_ids.isdisjoint(tokens):
        return tokens, None
    tokens = tokens[:num_left]
    if seq.judge:
        try:
            end = seq.judge.add(tokens)
        except Exception as error:
            return tokens, Ending("error", f"its text failed: {type(error).__name__}: {error}")
        if end:
            if end.stop is not None:
                detail = f"its text contains the stop string {end.stop!r}"
                return tokens[: end.num_tokens], Ending("stop", detail, end.stop)
            return tokens[: end.num_tokens], _by_token(seq, tokens[end.num_tokens - 1])
    else:
        num_generated = len(seq.token_ids) - seq.num_prompt_tokens
        for count, token_id in enumerate(tokens, 1):
            is_long_enough = num_generated + count > seq.params.min_tokens
            if is_long_enough and token_id in seq.ending_token_ids:
                return tokens[:count], _by_token(seq, token_id)
    return tokens, _by_length(seq) if len(tokens) == num_left else None


def _by_token(seq: Sequence, token_id: int) -> Ending:
    if token_id in seq.params.stop_token_ids:
        return Ending("stop", f"token {token_id} is one of its stop_token_ids", token_id)
    return Ending("stop", f"token {token_id} means end of sequence")


def _by_grammar(grammar: Grammar, *, is_refused: bool) -> Ending | None:
    if grammar.is_complete:
        return Ending("stop", "its grammar is complete")
    if is_refused:  # its mask was applied, so other options had left none of the allowed tokens
        return Ending("error", "no token is left that its grammar and its other options allow")
    return None


def _by_length(seq: Sequence) -> Ending:
    if seq.max_num_tokens - seq.num_prompt_tokens == seq.params.max_tokens:
        return Ending("length", f"max_tokens={seq.params.max_tokens} reached")
    return Ending("length", f"max_model_len={seq.max_num_tokens} reached")
