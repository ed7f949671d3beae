"""`/metrics`: `ServingMetrics` in Prometheus' words.

Nothing is counted here. A scrape takes one look at the engine and writes it down; the registry is
the server's own, so two servers in one process do not mix.

Read next: `serving_metrics.py`.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from nanovllm_edu.serving_metrics import Distribution, ServingMetrics

PREFIX = "nanovllm_"
GAUGES = {
    "num_waiting": ("requests_waiting", "Requests that wait for a place in the batch"),
    "num_running": ("requests_running", "Requests in the batch"),
    "num_blocks": ("kv_blocks", "KV blocks in the pool"),
    "num_used_blocks": ("kv_blocks_used", "KV blocks that running requests hold"),
}
COUNTERS = {
    "num_requests": ("requests", "Requests that were accepted"),
    "num_refused": ("requests_refused", "Requests that were refused because too many waited"),
    "num_steps": ("steps", "Steps of the engine"),
    "num_failed_steps": ("steps_failed", "Steps that raised"),
    "num_preemptions": ("preemptions", "Times that a request had to give up its blocks"),
    "num_prompt_tokens": ("prompt_tokens", "Prompt tokens of ended requests"),
    "num_cached_tokens": ("prompt_tokens_cached", "Those found in the prefix cache"),
    "num_generated_tokens": ("generated_tokens", "Tokens that were generated"),
}
TIMES = {
    "time_to_first_token": ("time_to_first_token_seconds", "From arrival to the first token"),
    "inter_token_time": ("inter_token_seconds", "Between two tokens of a request"),
    "time_per_output_token": (
        "time_per_output_token_seconds",
        "Per token behind the first, one mean for each request",
    ),
    "end_to_end_time": ("end_to_end_seconds", "From arrival to the last token"),
}


class EngineCollector(Collector):
    """Asks for the metrics when it is asked."""

    def __init__(self, look: Callable[[], ServingMetrics]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """One look, as Prometheus' families."""
        metrics = self._look()
        for field, (name, text) in GAUGES.items():
            yield GaugeMetricFamily(PREFIX + name, text, getattr(metrics, field))
        for field, (name, text) in COUNTERS.items():
            yield CounterMetricFamily(PREFIX + name, text, getattr(metrics, field))
        ended = CounterMetricFamily(
            f"{PREFIX}requests_finished", "Requests that ended", labels=["reason"]
        )
        for reason, number in metrics.num_finished.items():
            ended.add_metric([reason], number)
        yield ended
        for field, (name, text) in TIMES.items():
            yield _histogram(PREFIX + name, text, getattr(metrics, field))


def _histogram(name: str, text: str, values: Distribution) -> HistogramMetricFamily:
    bounds = [*map(str, values.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(values.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=values.total)


def registry_of(look: Callable[[], ServingMetrics]) -> CollectorRegistry:
    """A registry with nothing but one engine in it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EngineCollector(look))
    return registry
