"""Many engines behind a router: who gets a request, what that costs, and how many are enough.

    cluster = Cluster(replicas(calibration, 4, num_blocks=512), PrefixAffinity())
    outcome = Outcome.of(cluster.serve(tenants()))

Each replica is a real engine on a virtual device (`virtual/runner.py`). An hour of a dozen of them
passes in seconds, the same every time.

Read next: `router.py`, `replica.py`, `cluster.py`.
"""

from nanovllm_edu.cluster.cluster import Cluster, Down, Drain, Routed, Up
from nanovllm_edu.cluster.outcome import Outcome
from nanovllm_edu.cluster.replica import replicas
from nanovllm_edu.cluster.router import LeastTokens, Load, PrefixAffinity, PrefixIndex, RoundRobin

__all__ = [
    "Cluster",
    "Down",
    "Drain",
    "LeastTokens",
    "Load",
    "Outcome",
    "PrefixAffinity",
    "PrefixIndex",
    "RoundRobin",
    "Routed",
    "Up",
    "replicas",
]
