"""What a run says: latencies at their quantiles, throughput, goodput.

*Throughput* is what came out. *Goodput* is what came out as promised: requests a second that kept
the SLO. An overloaded server has the first without the second.

Read next: `load/sweep.py`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nanovllm_edu.core.request.option_checks import is_number
from nanovllm_edu.errors import WorkloadError, listed, of_type, shown
from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.virtual.quantile import quantile

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Latency:
    """How some seconds are distributed. Zeros if there are none."""

    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> "Latency":
        """Of these values.

        Raises:
            WorkloadError: They are not several numbers.
        """
        values = listed(values, "values", WorkloadError)
        if not all(map(is_number, values)):
            raise WorkloadError(f"values={shown(values)} are not all numbers; give seconds.")
        ranked = sorted(values)
        if not ranked:
            return cls()
        quantiles = {name: quantile(ranked, q) for name, q in QUANTILES.items()}
        return cls(mean=math.fsum(ranked) / len(ranked), max=ranked[-1], **quantiles)


@dataclass(frozen=True, slots=True)
class Report:
    """A run. Latencies are those of whole answers; requests that failed are counted beside them.

    Attributes:
        rate: Requests a second that were wanted; None in a closed loop.
        num_requests: How many were wanted.
        num_whole: How many got all of their answer.
        num_kept: How many of these as promised.
        errors: What went wrong -> how often.
        seconds: From the first request to the end of the last answer.
        num_tokens: Tokens of whole answers.
        first_token: Time to first token.
        per_token: Time per output token, one mean for each answer.
        between_tokens: Time between two pieces.
        end_to_end: Time to the last token.
        late: How late the generator sent. If it is not small beside the others, it could not keep
            up, and the figures are its own.
        most_open: So many requests were under way at once.
    """

    rate: float | None
    num_requests: int
    num_whole: int
    num_kept: int
    errors: dict[str, int]
    seconds: float
    num_tokens: int
    first_token: Latency
    per_token: Latency
    between_tokens: Latency
    end_to_end: Latency
    late: Latency
    most_open: int

    @property
    def requests_per_second(self) -> float:
        """Throughput, in whole answers."""
        return self.num_whole / self.seconds

    @property
    def tokens_per_second(self) -> float:
        """Throughput, in tokens."""
        return self.num_tokens / self.seconds

    @property
    def goodput(self) -> float:
        """Requests a second that were answered as promised."""
        return self.num_kept / self.seconds

    @property
    def share_kept(self) -> float:
        """Of all requests that were wanted, so many were answered as promised."""
        return self.num_kept / self.num_requests

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        rates = ("requests_per_second", "tokens_per_second", "goodput", "share_kept")
        return {**asdict(self), **{name: getattr(self, name) for name in rates}}


def report(answers: Sequence[Answer], slo: SLO, rate: float | None = None) -> Report:
    """What the answers of a run come to.

    Raises:
        WorkloadError: There are none, one is no `Answer`, or the SLO is none.
    """
    answers = listed(answers, "answers", WorkloadError)
    if not answers:
        raise WorkloadError("0 answers come to nothing; ask for one at least.")
    for answer in answers:
        of_type(answer, Answer, "answer", "give what `open_loop` returns", WorkloadError)
    of_type(slo, SLO, "slo", "give one, such as SLO(first_token=1)", WorkloadError)
    whole = [answer for answer in answers if answer.is_whole]
    errors = Counter(answer.error or "no tokens" for answer in answers if not answer.is_whole)
    begin = min(answer.wanted for answer in answers)
    per_token = (answer.per_token for answer in whole)
    return Report(
        rate=rate,
        num_requests=len(answers),
        num_whole=len(whole),
        num_kept=sum(map(slo.is_kept, whole)),
        errors=dict(errors.most_common()),
        seconds=max(answer.ended for answer in answers) - begin,
        num_tokens=sum(answer.num_tokens for answer in whole),
        first_token=Latency.of(answer.first_token for answer in whole),
        per_token=Latency.of(seconds for seconds in per_token if seconds is not None),
        between_tokens=Latency.of(gap for answer in whole for gap in answer.gaps),
        end_to_end=Latency.of(answer.end_to_end for answer in whole),
        late=Latency.of(answer.late for answer in answers),
        most_open=_most_open(answers),
    )


def _most_open(answers: Sequence[Answer]) -> int:
    changes = [(answer.sent, 1) for answer in answers] + [(answer.ended, -1) for answer in answers]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most
