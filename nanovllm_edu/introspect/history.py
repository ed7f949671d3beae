"""The data that a fold works on: requests, sequences, contents, and what never changes.

Read next: `introspect/fold.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from nanovllm_edu.core.request.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for. `token_ids` may hold generated tokens if the engine was forked."""

    seq_id: int
    token_ids: tuple[int, ...]
    num_prompt_tokens: int
    params: SamplingParams
    seed: int


class Content(NamedTuple):
    """What a findable block holds.

    Attributes:
        hash: By which it is found; None if it is found otherwise.
        token_ids: Its tokens.
        seq_id: Whose tokens they were; None if that was before the recording.
        index: Which block of that sequence it was.
    """

    hash: int | None
    token_ids: tuple[int, ...]
    seq_id: int | None = None
    index: int | None = None


@dataclass(slots=True)
class FoldedSequence:
    """One unfinished sequence; its tokens are the first `num_known` of the history's."""

    seq_id: int
    num_known: int
    num_prompt_tokens: int
    num_computed_tokens: int = 0
    num_claimed: int = 0
    row: int | None = None
    block_table: list[int] = field(default_factory=list[int])

    @property
    def num_tokens(self) -> int:
        """Known tokens and claimed ones."""
        return self.num_known + self.num_claimed


@dataclass(slots=True)
class History:
    """What never changes once it is known, and is therefore shared by all folds of a recording."""

    requests: dict[int, Request] = field(default_factory=dict[int, Request])
    token_ids: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def only(self, seq_ids: Iterable[int]) -> "History":
        """One of its own that knows some of the requests, and nothing that came after them."""
        history = History()
        for seq_id in seq_ids:
            history.add(self.requests[seq_id])
        return history

    def add(self, request: Request) -> None:
        """Remembers a request; its tokens grow as they are settled."""
        if request.seq_id not in self.requests:
            self.requests[request.seq_id] = request
            self.token_ids[request.seq_id] = list(request.token_ids)

    def settle(self, seq_id: int, num_known: int, tokens: tuple[int, ...]) -> None:
        """Remembers tokens behind the first `num_known`, unless another fold came by before."""
        known = self.token_ids[seq_id]
        if len(known) == num_known:
            known += tokens
        else:
            known += tokens[len(known) - num_known :]
