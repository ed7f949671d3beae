"""How long requests waited, from the times in a recording.

Read next: `introspect/figures.py`.
"""

from collections import defaultdict
from dataclasses import dataclass

from nanovllm_edu.introspect.journal import Added, Stepped
from nanovllm_edu.introspect.recording import Recording


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds. `first_token` has one entry per request, `between_tokens` one per later token."""

    first_token: dict[int, float]
    between_tokens: tuple[float, ...]


def latencies(recording: Recording) -> Latencies:
    """Time to first token and inter-token latency, as a client of the engine would see them."""
    added: dict[int, float] = defaultdict(float)  # those before the recording began: at 0
    last: dict[int, float] = {}
    first: dict[int, float] = {}
    between: list[float] = []
    for entry in recording.journal:
        if isinstance(entry, Added):
            added[entry.request.seq_id] = entry.seconds
        elif isinstance(entry, Stepped):
            for seq_id, tokens in entry.record.new_tokens.items():
                if seq_id in last:
                    between.append(entry.seconds - last[seq_id])
                else:
                    first[seq_id] = entry.seconds - added[seq_id]
                between += [0.0] * (len(tokens) - 1)  # they came together
                last[seq_id] = entry.seconds
    return Latencies(first, tuple(between))
