"""`Outcome`: how a cluster did, in a few figures, as a whole and of each replica and tenant.

It is the SLO of `load/answer.py`: what is promised does not depend on who is asked.

Read next: `capacity.py`, which asks how many replicas it takes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from nanovllm_edu.cluster.cluster import Routed
from nanovllm_edu.errors import of_type
from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.virtual.summary import Summary

PROMISED = SLO(first_token=0.5, per_token=0.05, share=0.99)
"""Where nobody says what users are promised."""


def seen(routed: Routed) -> Answer:
    """What the user saw of it, as of an answer of a real server."""
    answer, at = routed.answer, routed.answer.arrival.at
    error = "" if answer.reason in ("length", "stop") else answer.reason
    times = tuple(answer.token_times)
    return Answer(at, at, times, answer.end, answer.num_tokens, error=error)


@dataclass(slots=True)
class Outcome:
    """Counts and times of many answers.

    Attributes:
        slo: By which `share_met` counts.
        summary: Of all.
        tenants: Of each tenant.
        num_of_replica: Answers of each.
        num_prompt_tokens: Of all prompts.
        num_cached_tokens: Of these, found in a replica's cache.
        num_retried: Answers to requests that had lost a replica.
        num_met: Answers within the SLO.
    """

    slo: SLO = PROMISED
    summary: Summary = field(default_factory=Summary)
    tenants: dict[str, Summary] = field(default_factory=lambda: defaultdict(Summary))
    num_of_replica: Counter[int] = field(default_factory=Counter)
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_retried: int = 0
    num_met: int = 0

    @classmethod
    def of(cls, answers: Iterable[Routed], slo: SLO | None = None) -> Self:
        """Reads them to the end and keeps none.

        Raises:
            ConfigError: They are no answers of a cluster, or the SLO is none.
        """
        outcome = cls(of_type(slo or PROMISED, SLO, "slo", "give one, such as SLO(first_token=1)"))
        for answer in of_type(answers, Iterable, "answers", "give what `Cluster.serve` returns"):
            outcome.add(answer)
        return outcome

    def add(self, routed: Routed) -> None:
        """Takes one in.

        Raises:
            ConfigError: It is no answer of a cluster.
        """
        of_type(routed, Routed, "routed", "give what `Cluster.serve(arrivals)` yields")
        answer = routed.answer
        self.summary.add(answer)
        self.tenants[answer.arrival.tenant].add(answer)
        self.num_of_replica[routed.replica] += 1
        self.num_prompt_tokens += len(answer.arrival.prompt)
        self.num_cached_tokens += answer.num_cached_tokens
        self.num_retried += routed.num_tries > 1
        self.num_met += self.slo.is_kept(seen(routed))

    @property
    def hit_rate(self) -> float:
        """The fraction of prompt tokens that a cache had."""
        return self.num_cached_tokens / max(1, self.num_prompt_tokens)

    @property
    def share_met(self) -> float:
        """The fraction of answers within the SLO."""
        return self.num_met / max(1, self.summary.num_answers)

    def __repr__(self) -> str:
        shares = ", ".join(f"{i}: {n}" for i, n in sorted(self.num_of_replica.items()))
        return (
            f"{self.summary!r}; {self.hit_rate:.0%} of prompt tokens cached, "
            f"{self.share_met:.1%} within the SLO; answers by replica {{{shares}}}"
        )
