"""`Answer`: what one user saw, and `SLO`: what they had been promised.

    wanted ── sent ──────── first piece ─ piece ─ piece ─ last piece
    │◄──── time to first token ────►│◄gap►│
    │◄───────────────── end to end ─────────────────────►│

All times count from when the user *wanted* to ask, which may be before the request was sent: a
generator that waits for a slow server and forgets the wait makes the server look fast. That
mistake is called coordinated omission (Gil Tene, "How NOT to Measure Latency").

Read next: `load/client.py`, which makes answers.
"""

from dataclasses import dataclass
from itertools import pairwise

from nanovllm_edu.core.request.option_checks import is_number
from nanovllm_edu.errors import WorkloadError, shown


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came of it. Times in seconds from the start of the run.

    Attributes:
        wanted: When it should have been sent.
        sent: When it was.
        pieces: When each piece of text came. Most servers send one for each token.
        ended: When nothing more was to come.
        num_tokens: Tokens of the answer, as the server counts them if it says so.
        status: HTTP's; 0 if there was no answer.
        error: What went wrong; empty if nothing did.
    """

    wanted: float
    sent: float
    pieces: tuple[float, ...]
    ended: float
    num_tokens: int
    status: int = 200
    error: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the user got all of it."""
        return not self.error and bool(self.pieces)

    @property
    def late(self) -> float:
        """How late the generator itself was. It is part of every latency."""
        return self.sent - self.wanted

    @property
    def first_token(self) -> float:
        """Time to first token (TTFT)."""
        return self.pieces[0] - self.wanted

    @property
    def end_to_end(self) -> float:
        """Time to the last token."""
        return self.pieces[-1] - self.wanted

    @property
    def gaps(self) -> list[float]:
        """Inter-token latencies: between a piece and the next."""
        return [after - before for before, after in pairwise(self.pieces)]

    @property
    def per_token(self) -> float | None:
        """Time per output token (TPOT), the mean behind the first; None if there is one only."""
        if self.num_tokens < 2:
            return None
        return (self.pieces[-1] - self.pieces[0]) / (self.num_tokens - 1)


@dataclass(frozen=True, slots=True)
class SLO:
    """A service level objective: what each user is promised, in seconds. None promises nothing.

    Attributes:
        first_token: Longest time to the first token.
        per_token: Longest mean time per token behind it.
        end_to_end: Longest time to the last token.
        share: So many of all requests must be served as promised, or the objective is broken.
    """

    first_token: float | None = 1.0
    per_token: float | None = 0.1
    end_to_end: float | None = None
    share: float = 0.9

    def __post_init__(self) -> None:
        for name in ("first_token", "per_token", "end_to_end"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and value > 0):
                raise WorkloadError(
                    f"an SLO of {name}={shown(value)} s cannot be kept; give more than 0, or None."
                )
        if not (is_number(self.share) and 0 < self.share <= 1):
            raise WorkloadError(f"share={shown(self.share)} is not above 0 and at most 1.")

    def is_kept(self, answer: Answer) -> bool:
        """Whether this user got what was promised. Who got no whole answer did not."""
        if not answer.is_whole:
            return False
        promised = (
            (answer.first_token, self.first_token),
            (answer.per_token, self.per_token),
            (answer.end_to_end, self.end_to_end),
        )
        return all(got is None or most is None or got <= most for got, most in promised)

    def __str__(self) -> str:
        names = {"first_token": "TTFT", "per_token": "TPOT", "end_to_end": "end to end"}
        parts = [f"{text} ≤ {getattr(self, name):g} s" for name, text in names.items()
                 if getattr(self, name) is not None]  # fmt: skip
        return f"{', '.join(parts) or 'a whole answer'} for {self.share:.0%}"
