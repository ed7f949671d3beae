"""The data that a fold works on: requests, sequences, and what never changes once it is known.

Read next: `introspect/fold.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from nanovllm_edu.core.request.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for. `token_ids` may hold generated tokens if the engine was forked."""

    seq_id: int
    token_ids: tuple[int, ...]
    num_prompt_tokens: int
    params: SamplingParams
    seed: int


@dataclass(slots=True)
class FoldedSequence:
    """One unfinished sequence; its tokens are the first `num_known` of the history's."""

    seq_id: int
    num_known: int
    num_prompt_tokens: int
    num_computed_tokens: int = 0
    num_in_flight: int = 0
    slot: int | None = None
    is_decoding: bool = False
    block_table: list[int] = field(default_factory=list[int])

    @property
    def num_tokens(self) -> int:
        """Known tokens and those in flight."""
        return self.num_known + self.num_in_flight


@dataclass(slots=True)
class History:
    """What never changes once it is known, and is therefore shared by all folds of a recording."""

    requests: dict[int, Request] = field(default_factory=dict[int, Request])
    token_ids: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    contents: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    """Hash of a block -> its tokens."""

    def only(self, seq_ids: Iterable[int]) -> "History":
        """One of its own that knows some of the requests, and nothing that came after them."""
        history = History(contents=dict(self.contents))
        for seq_id in seq_ids:
            history.add(self.requests[seq_id])
        return history

    def add(self, request: Request) -> None:
        """Remembers a request; its tokens grow as they are sampled."""
        if request.seq_id not in self.requests:
            self.requests[request.seq_id] = request
            self.token_ids[request.seq_id] = list(request.token_ids)
