"""`Summary`: what many answers come to, in memory that does not grow with their tokens.

Read next: `benchmarks/virtual.py`, which compares those of real and of virtual runs.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from nanovllm_edu.errors import of_type
from nanovllm_edu.virtual.quantile import quantile
from nanovllm_edu.virtual.serving import Answer


@dataclass(slots=True)
class Summary:
    """Counts, and two numbers of each request.

    Attributes:
        ttfts: Seconds to the first token, of each answer.
        tpots: Mean seconds per later token, of each answer that has one.
        num_tokens: Tokens of all answers.
        begin: When the first request came.
        end: When the last answer ended.
    """

    ttfts: "array[float]" = field(default_factory=lambda: array("d"))
    tpots: "array[float]" = field(default_factory=lambda: array("d"))
    num_tokens: int = 0
    begin: float = float("inf")
    end: float = 0.0

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> Self:
        """Reads them to the end and keeps none.

        Raises:
            ConfigError: They are not several, or one is no `Answer` of `serve`.
        """
        summary = cls()
        for answer in of_type(answers, Iterable, "answers", "give what `serve` returns"):
            summary.add(answer)
        return summary

    def add(self, answer: Answer) -> None:
        """Takes one in.

        Raises:
            ConfigError: It is no `Answer` of `serve`.
        """
        of_type(answer, Answer, "answer", "give what `serve(server, arrivals)` yields")
        self.ttfts.append(answer.ttft)
        if answer.num_tokens > 1:
            self.tpots.append(answer.tpot)
        self.num_tokens += answer.num_tokens
        self.begin = min(self.begin, answer.arrival.at)
        self.end = max(self.end, (answer.token_times or [answer.end])[-1])

    @property
    def num_answers(self) -> int:
        """How many there were."""
        return len(self.ttfts)

    @property
    def mean_tpot(self) -> float:
        """Seconds per token behind the first, the mean over answers."""
        return sum(self.tpots) / max(1, len(self.tpots))

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens, from the first arrival to the last answer."""
        return self.num_tokens / max(1e-9, self.end - self.begin)

    def ttft(self, q: float) -> float:
        """The time to first token that a fraction `q` of the answers does not exceed."""
        return quantile(self.ttfts, q)

    def __repr__(self) -> str:
        return (
            f"{self.num_answers} answers, {self.num_tokens:,} tokens in "
            f"{self.end - self.begin:.2f} s: {self.tokens_per_second:,.0f} tokens/s, "
            f"{1e3 * self.mean_tpot:.2f} ms a token, first token after "
            f"{1e3 * self.ttft(0.5):.1f} ms (p50), {1e3 * self.ttft(0.99):.1f} ms (p99)"
        )
