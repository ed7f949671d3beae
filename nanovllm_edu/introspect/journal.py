"""What a recording is made of: everything that happened to an engine, in order.

A step says by itself what it decided; the rest is what came from outside between two steps.

Read next: `introspect/recording.py`.
"""

from dataclasses import dataclass, field

from nanovllm_edu.core.events import Event
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.history import Request


@dataclass(frozen=True, slots=True)
class Added:
    """A request joined the queue. `seconds` since the recording began."""

    request: Request
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step was taken. `eviction_order` is None for LRU, where it follows from the events."""

    record: StepRecord
    eviction_order: tuple[int, ...] | None = None
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Aborted:
    """A request was taken back between two steps."""

    events: tuple[Event, ...]
    eviction_order: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Updated:
    """A request is sampled differently from here on; its state is the same."""

    seq_id: int
    params: SamplingParams


@dataclass(frozen=True, slots=True)
class Resumed:
    """A step failed and was rolled back; the engine's state then, as a key frame."""

    frame: Fold = field(compare=False)
    why: str = ""


Entry = Added | Stepped | Aborted | Updated | Resumed
