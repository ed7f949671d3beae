"""Tokens to text, one token at a time: together the pieces are the text of the whole.

Decoding tokens one by one and joining the results is wrong in four ways, one for each manner in
which a tokenizer turns tokens into text:

    byte level      A token is some bytes; a character may be cut in two. A UTF-8 decoder that
                    keeps the unfinished bytes is all that it takes.
    pieces          The first token of a text loses the space in front of it (Metaspace, WordPiece,
                    Llama 2). So each token is decoded together with one that came before it, and
                    that one must decode to something, or the new token would be the first again.
    bytes in        Rare characters are spelt as single bytes, and one wrong byte turns the whole
    pieces          run of bytes around it into replacement characters: what such a run says is
                    open until another token follows, or until it is wrong for good.
    unknown         Only `decode` knows. Text that ends in a replacement character is held back for
                    up to four tokens, the longest that a character can be.

What an object of this file knows is a tuple, so any earlier state of it can be kept and restored.

It knows nothing of stop strings or of the engine. Read next: `text_judge.py`.
"""

from codecs import utf_8_decode
from typing import Literal, NamedTuple, Protocol

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER = 4
"""Bytes of UTF-8."""

Spelling = Literal["bytes", "pieces", "unknown"]


class Decoder(Protocol):
    """The part of a tokenizer that is needed here.

    A class that inherits from it needs to define `decode` only.

    Attributes:
        spelling: "bytes" if the text is the UTF-8 of all tokens' bytes, "pieces" if a token is
            whole characters or one byte, "unknown" if only `decode` knows.
        special_token_ids: Tokens that `skip_special_tokens` leaves out.
    """

    spelling: Spelling = "unknown"
    special_token_ids: frozenset[int] = frozenset()

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str: ...

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes that a token is; none if it is no token; None if it is no bytes."""
        return None


class Change(NamedTuple):
    """What a token does to the end of the text.

    Attributes:
        text: What it adds.
        is_open: Whether a later token may still withdraw it.
        withdraws: Whether all open text is withdrawn first.
    """

    text: str
    is_open: bool = False
    withdraws: bool = False


class Decoding(NamedTuple):
    """Where the decoding of a text stands.

    Attributes:
        context_ids: Tokens before the pending ones that decode to something, if any ever did.
        context_text: What they decode to by themselves.
        pending_ids: Tokens of a character that is not finished.
        pending_bytes: Its bytes, if they are known.
        num_run_tokens: Length of the run of single bytes that the text ends with.
        is_run_broken: Whether that run can no longer become valid.
    """

    context_ids: tuple[int, ...] = ()
    context_text: str = ""
    pending_ids: tuple[int, ...] = ()
    pending_bytes: bytes = b""
    num_run_tokens: int = 0
    is_run_broken: bool = False


class IncrementalDecoder:
    """Decodes the tokens of one text as they come.

    Args:
        decoder: Who decodes; never changed.
        skip_special_tokens: Leave special tokens out.
    """

    def __init__(self, decoder: Decoder, *, skip_special_tokens: bool = True) -> None:
        self.decoder = decoder
        self.skip_special_tokens = skip_special_tokens
        self.state = Decoding()

    def add(self, token_id: int) -> Change:
        """Takes the next token."""
        if self.skip_special_tokens and token_id in self.decoder.special_token_ids:
            spelt = b""
        else:
            spelt = self.decoder.token_bytes(token_id)
        if spelt is None:
            return self._add_piece(token_id)
        if not spelt:  # as if it were not there: a run of bytes goes on behind it
            return Change("", is_open=self.state.num_run_tokens > 0)
        if self.decoder.spelling == "bytes":
            return self._add_bytes(spelt)
        return self._add_byte_of_run(token_id, spelt)

    def finish(self) -> Change:
        """There is no further token: what is unfinished stays so."""
        state = self.state
        if state.num_run_tokens:
            return _broken(state) if state.pending_ids else Change("")
        if state.pending_ids:
            return Change(self._text_after(state, state.pending_ids))
        return Change(state.pending_bytes.decode("utf-8", "replace"))

    def _add_bytes(self, spelt: bytes) -> Change:
        """Some bytes, of a text that is nothing else."""
        pending = self.state.pending_bytes + spelt
        text, num_used = utf_8_decode(pending, "replace", False)
        if num_used < len(pending) or self.state.pending_bytes:
            self.state = Decoding(pending_bytes=pending[num_used:])
        return Change(text)

    def _add_byte_of_run(self, token_id: int, byte: bytes) -> Change:
        """One byte, of a text that is mostly pieces."""
        state = self.state._replace(num_run_tokens=self.state.num_run_tokens + 1)
        if state.is_run_broken:
            self.state = state
            return Change(REPLACEMENT)
        ids, spelt = (*state.pending_ids, token_id), state.pending_bytes + byte
        try:
            text, _ = utf_8_decode(spelt, "strict", False)
        except UnicodeDecodeError:
            self.state = self._in_context(state, ids)._replace(is_run_broken=True)
            return _broken(state)
        if not text:
            self.state = state._replace(pending_ids=ids, pending_bytes=spelt)
            return Change("", is_open=True)
        text = self._text_after(state, ids)
        self.state = self._in_context(state, ids)
        return Change(text, is_open=True)

    def _add_piece(self, token_id: int) -> Change:
        """A token that is no byte; with it a run of bytes ends."""
        state = self.state
        replaced = ""
        if state.num_run_tokens and state.pending_ids:  # the run is over, and its end is missing
            replaced = _broken(state).text
            state = self._in_context(state, state.pending_ids)
        ids = (*state.pending_ids, token_id)
        text = self._text_after(state, ids)
        is_unsure = self.decoder.spelling == "unknown" and len(ids) < LONGEST_CHARACTER
        if is_unsure and text.endswith(REPLACEMENT):
            self.state = state._replace(pending_ids=ids)
            return Change("")
        is_behind_run = state.num_run_tokens > 0
        self.state = self._in_context(state, ids, is_behind_run=is_behind_run)
        if is_behind_run:
            self.state = self.state._replace(num_run_tokens=0, is_run_broken=False)
        return Change(replaced + text, withdraws=bool(replaced))

    def _text_after(self, state: Decoding, token_ids: tuple[int, ...]) -> str:
        return self._decode(state.context_ids + token_ids)[len(state.context_text) :]

    def _in_context(
        self, state: Decoding, token_ids: tuple[int, ...], *, is_behind_run: bool = False
    ) -> Decoding:
        """The state in which these tokens are done, and are the next one's context if they can."""
        context_ids, context_text = token_ids, self._decode(token_ids)
        if not context_text and (not state.context_text or is_behind_run):
            # Nothing was ever shown, so the next one may still be the first; or the context is
            # bytes, which must not come to stand beside bytes that follow.
            context_ids = state.context_ids + token_ids
            context_text = self._decode(context_ids)
        elif not context_text:
            context_ids, context_text = state.context_ids, state.context_text
        return Decoding(
            context_ids, context_text, (), b"", state.num_run_tokens, state.is_run_broken
        )

    def _decode(self, token_ids: tuple[int, ...]) -> str:
        return self.decoder.decode(list(token_ids), skip_special_tokens=self.skip_special_tokens)


def _broken(state: Decoding) -> Change:
    """A run of bytes that is no text: each of them is shown as a replacement character."""
    return Change(REPLACEMENT * state.num_run_tokens, withdraws=True)
