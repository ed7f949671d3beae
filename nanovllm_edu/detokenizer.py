"""Tokens to text, piece by piece: nothing is shown that a later token could change.

A token of a byte-level vocabulary may be half a character; decoding the tokens one at a time would
print replacement characters. And a stop string may begin in one token and end in the next: what
could be its beginning is held back. Some vocabularies drop the space in front of the first token
they decode; so each new token is decoded together with the ones just before it.

It knows nothing of the engine.
"""

from dataclasses import dataclass, field
from typing import Protocol

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Decoder(Protocol):
    """The part of a tokenizer that is needed here."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str: ...


@dataclass(slots=True)
class IncrementalText:
    """The text of one request as its tokens arrive.

    Attributes:
        text: What is final so far, cut before the first stop string.
    """

    decoder: Decoder
    stop: tuple[str, ...] = ()
    skip_special_tokens: bool = True
    text: str = ""
    _context_ids: list[int] = field(default_factory=list[int])
    _pending_ids: list[int] = field(default_factory=list[int])
    _pending_text: str = ""

    def add(self, token_id: int, *, is_last: bool = False) -> str:
        """Takes one token and returns the text that became final with it."""
        self._pending_ids.append(token_id)
        decoded = self._decode(self._context_ids + self._pending_ids)
        if decoded.endswith(REPLACEMENT) and not is_last:
            return ""
        self._pending_text += decoded[len(self._decode(self._context_ids)) :]
        self._context_ids, self._pending_ids = self._pending_ids, []
        return self._release(is_last)

    def _decode(self, token_ids: list[int]) -> str:
        return self.decoder.decode(token_ids, skip_special_tokens=self.skip_special_tokens)

    def _release(self, is_last: bool) -> str:
        """Moves pending text out, up to a stop string or what may be the beginning of one."""
        pending = self._pending_text
        ends = [end for stop in self.stop if (end := pending.find(stop)) >= 0]
        keep = 0 if ends or is_last else self._longest_stop_beginning()
        final = pending[: min(ends)] if ends else pending[: len(pending) - keep]
        self._pending_text = "" if ends else pending[len(final) :]
        self.text += final
        return final

    def _longest_stop_beginning(self) -> int:
        """How many characters at the end might be the beginning of a stop string."""
        pending = self._pending_text
        return max(
            (n for stop in self.stop for n in range(1, len(stop)) if pending.endswith(stop[:n])),
            default=0,
        )
