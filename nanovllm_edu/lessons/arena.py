"""The arena: fixed workloads on which scheduling policies are scored against each other.

    scores(MixedPolicy(), PhaseSeparatedPolicy(), MyPolicy())

Three workloads that pull in different directions:

    chat        many short questions, one after the other
    documents   four long prompts in front of twelve short ones
    memory      sixteen growing sequences in a pool that holds half of them

Every policy runs in the real engine on the `ChecksumRunner`, against the simulated clock of
`clock.py`. Tokens are compared with the cache-free reference: a policy may change *when* a token
comes, never *which*.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

from nanovllm_edu.core import html
from nanovllm_edu.core.schedule.policy import SchedulingPolicy
from nanovllm_edu.lessons.checks import checksum_engine, greedy, require
from nanovllm_edu.lessons.clock import Arrival, Served, serve
from nanovllm_edu.runners.checksum import expected_tokens


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests and the engine they run on."""

    name: str
    arrivals: tuple[Arrival, ...]
    num_blocks: int
    max_num_batched_tokens: int = 128
    max_num_seqs: int = 16

    def run(self, policy: SchedulingPolicy, **options: Any) -> Served:
        """Serves the workload with a copy of this policy, which may remember things."""
        engine = checksum_engine(
            self.num_blocks,
            16,
            policy=deepcopy(policy),
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_num_seqs=self.max_num_seqs,
            **options,
        )
        return serve(engine, self.arrivals)

    def require_right_tokens(self, served: Served) -> None:
        """Raises `Wrong` if somebody got another token than a lone request would have got."""
        for seq_id, arrival in enumerate(self.arrivals):
            want = expected_tokens(list(arrival.prompt), greedy(arrival.max_tokens), 0)
            require(
                served.tokens.get(seq_id) == want,
                f"On {self.name!r} seq {seq_id} did not get its tokens: {served.tokens.get(seq_id)}"
                f" instead of {want}.",
            )


def _prompt(random: Random, length: int) -> list[int]:
    return [random.randrange(1000) for _ in range(length)]


def chat() -> Workload:
    """24 short questions, one every 25 ms or so."""
    random, now, arrivals = Random(1), 0.0, []
    for _ in range(24):
        prompt = _prompt(random, random.randint(20, 80))
        arrivals.append(Arrival(now, prompt, random.randint(8, 24)))
        now += random.randint(5, 45)
    return Workload("chat", tuple(arrivals), num_blocks=128)


def documents(seed: int = 2) -> Workload:
    """Four long prompts at once, then twelve questions in quick succession."""
    random = Random(seed)
    arrivals = [Arrival(0.0, _prompt(random, random.randint(400, 600)), 8) for _ in range(4)]
    for i in range(12):
        arrivals.append(Arrival(1.0 + 10 * i, _prompt(random, random.randint(16, 48)), 16))
    return Workload("documents", tuple(arrivals), num_blocks=192)


def memory() -> Workload:
    """Sixteen sequences that grow, in a pool that holds about half of them."""
    random = Random(3)
    arrivals = [
        Arrival(4.0 * i, _prompt(random, random.randint(20, 90)), random.randint(30, 70))
        for i in range(16)
    ]
    return Workload("memory", tuple(arrivals), num_blocks=48)


def flood(seed: int = 4) -> Workload:
    """One long document, then sixty short questions that never let the queue run empty.

    Not scored: it shows who starves. The document is sequence 3.
    """
    random = Random(seed)
    arrivals = [Arrival(0.0, _prompt(random, 40), 12) for _ in range(3)]
    arrivals.append(Arrival(1.0, _prompt(random, 300), 8))
    for i in range(60):
        arrivals.append(Arrival(2.0 + 30.0 * i, _prompt(random, random.randint(24, 64)), 10))
    return Workload("flood", tuple(arrivals), num_blocks=128, max_num_seqs=4)


def workloads() -> tuple[Workload, ...]:
    """The three of them."""
    return chat(), documents(), memory()


@dataclass(frozen=True, slots=True)
class Score:
    """One policy on one workload. Times in milliseconds."""

    policy: str
    workload: str
    mean_ttft: float
    p95_gap: float
    tokens_per_second: float
    num_recomputed_tokens: int

    @property
    def row(self) -> tuple[str, ...]:
        """As text, for a table."""
        return (
            self.workload,
            self.policy,
            f"{self.mean_ttft:.0f}",
            f"{self.p95_gap:.1f}",
            f"{self.tokens_per_second:.0f}",
            str(self.num_recomputed_tokens),
        )


HEADER = (
    "workload",
    "policy",
    "mean TTFT, ms",
    "p95 inter-token, ms",
    "tokens/s",
    "recomputed tokens",
)


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """Scores as a table, workload by workload."""

    scores: tuple[Score, ...]

    def __repr__(self) -> str:
        rows = [HEADER, *(score.row for score in self.scores)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
        return "\n".join(
            "  ".join(
                text.ljust(width) if i < 2 else text.rjust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )

    def _repr_html_(self) -> str:
        return html.table("Policies in the arena", HEADER, [score.row for score in self.scores])


def score(policy: SchedulingPolicy, workload: Workload) -> Score:
    """Runs one policy on one workload.

    Raises:
        Wrong: Somebody got a wrong token.
    """
    served = workload.run(policy)
    workload.require_right_tokens(served)
    gaps = served.all_gaps
    num_tokens = sum(map(len, served.tokens.values()))
    return Score(
        type(policy).__name__,
        workload.name,
        served.mean_ttft,
        gaps[int(0.95 * len(gaps))],
        num_tokens / served.end_ms * 1e3,
        served.num_recomputed_tokens,
    )


def scores(*policies: SchedulingPolicy, on: Sequence[Workload] | None = None) -> Scoreboard:
    """Runs every policy on every workload.

    Args:
        *policies: Objects, not classes.
        on: Workloads; all three by default.
    """
    chosen = workloads() if on is None else tuple(on)
    return Scoreboard(tuple(score(policy, each) for each in chosen for policy in policies))
