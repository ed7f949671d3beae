"""`ServingMetrics`: what an engine that serves has done and is doing, as data.

Counters only grow; gauges are as of now; times are histograms with fixed bounds, so that they take
the same memory however long a server runs. Whoever drives an engine counts what it sees in a
`Tally`; `AsyncLLM.metrics` freezes it.

Read next: `driver.py`, which counts.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

from nanovllm_edu.core.request.sequence import Sequence

SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75,
    1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
"""Upper bounds of the buckets of times, in seconds; the last bucket has none."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often values fell where.

    Attributes:
        bounds: Upper bounds of the buckets, ascending. A value on a bound is below it.
        counts: Values in each bucket; one more than there are bounds.
        total: Sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Their mean; 0 if there were none."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, q: float) -> float:
        """The value that a fraction `q` lies below, as if a bucket's values were spread evenly.

        0 if there are none; the last bound for what lies above it.
        """
        wanted, below = q * self.count, 0
        edges = (0.0, *self.bounds)
        for index, so_far in enumerate(accumulate(self.counts[:-1])):
            if so_far >= wanted and so_far > below:
                share = (wanted - below) / (so_far - below)
                return edges[index] + share * (edges[index + 1] - edges[index])
            below = so_far
        return self.bounds[-1] if self.count else 0.0


class Histogram:
    """Counts values by bucket."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Takes a value in."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def distribution(self) -> Distribution:
        """What was counted so far, frozen."""
        return Distribution(self._bounds, tuple(self._counts), self._total)


@dataclass(frozen=True, slots=True)
class ServingMetrics:
    """One look at an engine that serves.

    Attributes:
        num_waiting: Requests that wait, those included that the engine has not yet taken in.
        num_running: Requests that hold a row.
        num_blocks: KV blocks in the pool.
        num_used_blocks: Those that a running request holds.
        num_requests: Requests that were accepted, ever. Each of `n` answers counts, here and below.
        num_finished: Reason ("stop", "length", "abort", "error" or "overdue": turned away unbegun)
            -> requests that ended so.
        num_refused: Requests that were turned away because too many waited.
        num_steps: Steps that the driver took.
        num_failed_steps: Steps that raised.
        num_preemptions: How often an ended request had given up its blocks.
        num_prompt_tokens: Prompt tokens of ended requests.
        num_cached_tokens: Those of them whose KV was found in the cache.
        num_generated_tokens: Tokens that were generated.
        time_to_first_token: Seconds from arrival.
        inter_token_time: Seconds between two tokens of a request.
        time_per_output_token: Seconds a token behind the first, one mean for each ended request.
        end_to_end_time: Seconds from arrival to the end; requests that finished by themselves.
    """

    num_waiting: int
    num_running: int
    num_blocks: int
    num_used_blocks: int
    num_requests: int
    num_finished: dict[str, int]
    num_refused: int
    num_steps: int
    num_failed_steps: int
    num_preemptions: int
    num_prompt_tokens: int
    num_cached_tokens: int
    num_generated_tokens: int
    time_to_first_token: Distribution
    inter_token_time: Distribution
    time_per_output_token: Distribution
    end_to_end_time: Distribution

    @property
    def kv_use(self) -> float:
        """Fraction of the blocks that running requests hold."""
        return self.num_used_blocks / self.num_blocks


@dataclass(slots=True)
class Tally:
    """The counters and histograms behind `ServingMetrics`, with its names. One thread writes."""

    num_requests: int = 0
    num_finished: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("stop", "length", "abort", "error", "overdue"), 0)
    )
    num_steps: int = 0
    num_failed_steps: int = 0
    num_preemptions: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_generated_tokens: int = 0
    time_to_first_token: Histogram = field(default_factory=Histogram)
    inter_token_time: Histogram = field(default_factory=Histogram)
    time_per_output_token: Histogram = field(default_factory=Histogram)
    end_to_end_time: Histogram = field(default_factory=Histogram)

    def count_tokens(self, arrival: float, times: list[float], first: int) -> None:
        """Takes in when the tokens of a request came, from its `first`-th on."""
        self.num_generated_tokens += len(times) - first
        for index in range(first, len(times)):
            if index:
                self.inter_token_time.observe(times[index] - times[index - 1])
            else:
                self.time_to_first_token.observe(times[0] - arrival)

    def count_ending(self, seq: Sequence, arrival: float, reason: str = "") -> None:
        """Takes in a request that has ended; `reason` if the engine knows none."""
        why, times = reason or seq.finish_reason or "error", seq.token_times
        self.num_finished[why] = self.num_finished.get(why, 0) + 1
        self.num_preemptions += seq.num_preemptions
        self.num_prompt_tokens += seq.num_prompt_tokens
        self.num_cached_tokens += seq.num_prefix_hit_tokens or 0
        if len(times) > 1:
            self.time_per_output_token.observe((times[-1] - times[0]) / (len(times) - 1))
        if times and why in ("stop", "length"):
            self.end_to_end_time.observe(times[-1] - arrival)
