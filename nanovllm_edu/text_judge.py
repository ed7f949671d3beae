"""`TextJudge`: the text of one request, and where it ends. Nobody else decides either.

    judge = TextJudge(tokenizer, params, ending_token_ids)
    end = judge.add([5, 8, 13])     the new tokens; a TextEnd if the request ends with one of them
    judge.take()                    the text that became final since the last `take()`
    judge.finish()                  no further token comes (it is long enough, or was aborted)
    judge.text                      all text that is final so far

The engine asks it whether a request ends; streams and outputs take their text from it. What is
final is never changed by a later token: unfinished characters and what may be the beginning of a
stop string are held back.

    a stop string      ends the request with the token that completes it. The text is cut before it,
                       or behind it with `include_stop_str_in_output`. Of several the one that ends
                       first counts, and of those the longest.
    an ending token    (end of sequence, `stop_token_ids`) is left out of the text, also when it is
                       an ordinary word, unless `include_stop_str_in_output`. As in vLLM.
    `min_tokens`       So many tokens are taken before anything can end the request.

Whoever may have to take tokens back (a step that fails) keeps `mark()` and calls `back_to(mark)`.
A copy shares the tokenizer and nothing else.

It knows nothing of the engine, and nothing of lengths: `core/request/ending.py` does.
Read next: `intake.py`.
"""

from collections.abc import Iterable
from copy import copy
from typing import NamedTuple, Self

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.detokenizer import Change, Decoder, Decoding, IncrementalDecoder
from nanovllm_edu.stop_strings import Match, Matched, StopStrings


class TextEnd(NamedTuple):
    """The end of a request.

    Attributes:
        num_tokens: How many of the tokens just given belong to the request; the rest is void.
        stop: The stop string that is complete; None if a token ended it.
        token_id: The token that ended it; None if a stop string did.
        stop_reason: vLLM's: the stop string, or the token if it is one of `stop_token_ids`; None
            for the model's own end of sequence.
    """

    num_tokens: int
    stop: str | None
    token_id: int | None
    stop_reason: str | int | None


class Mark(NamedTuple):
    """Everything that changes in a judge, but for the text that is final.

    Attributes:
        decoding: Where the decoder stands.
        held: Text that is not final.
        matched: Where the search for stop strings stands, behind `held`.
        open_from: Where in `held` the text begins that may be withdrawn, if any may.
        matched_before_open: Where the search stood there.
        num_pieces: How many pieces of text are final.
        num_tokens: How many tokens were taken.
        is_over: Whether the request has ended.
    """

    decoding: Decoding
    held: str
    matched: Matched
    open_from: int | None
    matched_before_open: Matched
    num_pieces: int
    num_tokens: int
    is_over: bool


class TextJudge:
    """Decides the text of one request and its end.

    Args:
        decoder: Turns tokens into text; shared.
        params: Of the request.
        ending_token_ids: `Sequence.ending_token_ids`; by default the params' `stop_token_ids`.

    Attributes:
        params: Of the request.
        num_tokens: How many tokens it has taken.
        is_over: Whether the text has ended.
    """

    def __init__(
        self,
        decoder: Decoder,
        params: SamplingParams,
        ending_token_ids: frozenset[int] | None = None,
    ) -> None:
        self.params = params
        self.num_tokens = 0
        self.is_over = False
        stops = frozenset(params.stop_token_ids)
        self._ending_token_ids = stops if ending_token_ids is None else ending_token_ids
        self._decoder = IncrementalDecoder(decoder, skip_special_tokens=params.skip_special_tokens)
        self._stops = StopStrings(params.stop)
        self._pieces: list[str] = []
        self._num_taken = 0
        # See Mark.
        self._held = ""
        self._matched = self._matched_before_open = self._stops.start
        self._open_from: int | None = None

    @property
    def text(self) -> str:
        """What is final so far."""
        return "".join(self._pieces)

    def take(self) -> str:
        """The text that became final since the last call."""
        new = "".join(self._pieces[self._num_taken :])
        self._num_taken = len(self._pieces)
        return new

    # ------------------------------------------------------------------------ what is new

    def add(self, token_ids: Iterable[int]) -> TextEnd | None:
        """Takes the next tokens, up to one that ends the request; none of them if it fails."""
        assert not self.is_over, "the text has ended"
        before = self.mark()
        try:
            return self._add(token_ids)
        except BaseException:
            self.back_to(before)
            raise

    def finish(self) -> None:
        """No further token comes: what was held back is final. Calling it again does nothing."""
        before = self.mark()
        try:
            self._finish()
        except BaseException:
            self.back_to(before)
            raise

    def _add(self, token_ids: Iterable[int]) -> TextEnd | None:
        for index, token_id in enumerate(token_ids):
            self.num_tokens += 1
            may_end = self.num_tokens > self.params.min_tokens
            if may_end and token_id in self._ending_token_ids:
                return self._end_with(token_id, index + 1)
            if match := self._take_in(self._decoder.add(token_id), may_end=may_end):
                self.is_over = True
                return TextEnd(index + 1, match.stop, None, match.stop)
        return None

    def _end_with(self, token_id: int, num_tokens: int) -> TextEnd:
        if self.params.include_stop_str_in_output:
            self._take_in(self._decoder.add(token_id), may_end=False)
        self._finish()
        reason = token_id if token_id in self.params.stop_token_ids else None
        return TextEnd(num_tokens, None, token_id, reason)

    def _finish(self) -> None:
        if not self.is_over:
            self._take_in(self._decoder.finish(), may_end=False)
            self._release(len(self._held))
            self.is_over = True

    def _take_in(self, change: Change, *, may_end: bool) -> Match | None:
        """Changes the end of the text; returns the stop string that is complete with it."""
        if change.withdraws and self._open_from is not None:
            self._held = self._held[: self._open_from]
            self._matched, self._open_from = self._matched_before_open, None
        if not change.is_open:
            self._open_from = None
        elif self._open_from is None:
            self._open_from, self._matched_before_open = len(self._held), self._matched
        match = self._search(change.text, may_end=may_end)
        self._release(self._num_final(match))
        return match

    def _search(self, text: str, *, may_end: bool) -> Match | None:
        """Holds new text, up to the end of a stop string that ends the request."""
        while text:
            self._matched, match = self._stops.search(text, self._matched)
            end = match.end if match else len(text)
            self._held += text[:end]
            if match and may_end:
                return match
            text = text[end:]
        return None

    def _num_final(self, match: Match | None) -> int:
        """How many of the held characters no later token can change or cut."""
        is_cut_behind = self.params.include_stop_str_in_output
        if match:
            return len(self._held) - (0 if is_cut_behind else len(match.stop))
        num_uncertain = 0 if is_cut_behind else max(self._matched, default=0)
        num_final = len(self._held) - num_uncertain
        return num_final if self._open_from is None else min(num_final, self._open_from)

    def _release(self, num_characters: int) -> None:
        if num_characters:
            self._pieces.append(self._held[:num_characters])
            self._held = self._held[num_characters:]
        if self._open_from:
            self._open_from = max(0, self._open_from - num_characters)

    # --------------------------------------------------------------- going back, copying

    def mark(self) -> Mark:
        """What `back_to` needs to take back everything that comes from now on."""
        return Mark(
            self._decoder.state,
            self._held,
            self._matched,
            self._open_from,
            self._matched_before_open,
            len(self._pieces),
            self.num_tokens,
            self.is_over,
        )

    def back_to(self, mark: Mark) -> None:
        """Forgets what was added since `mark`; text that was taken meanwhile is forgotten too."""
        self._decoder.state, self._held, self._matched, self._open_from = mark[:4]
        self._matched_before_open, num_pieces, self.num_tokens, self.is_over = mark[4:]
        del self._pieces[num_pieces:]
        self._num_taken = min(self._num_taken, num_pieces)

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._pieces = list(self._pieces)
        twin._decoder = copy(self._decoder)
        return twin

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return copy(self)
