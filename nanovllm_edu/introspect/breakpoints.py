"""Where to stop: what a learner waits for, as questions about one step.

Read next: `widgets/step_player.py`.
"""

from collections.abc import Callable

from nanovllm_edu.core.events import BlockEvicted, DraftVerified, PrefixHit
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import ConfigError


def has_prefix_hit(record: StepRecord) -> bool:
    """A sequence found blocks in the cache."""
    return any(isinstance(event, PrefixHit) and event.block_ids for event in record.events)


def has_eviction(record: StepRecord) -> bool:
    """A cached block lost its content."""
    return any(isinstance(event, BlockEvicted) for event in record.events)


def has_wrong_guess(record: StepRecord) -> bool:
    """A guessed token was not what the model says."""
    return any(
        isinstance(event, DraftVerified) and event.num_accepted < len(event.drafted)
        for event in record.effects
    )


BREAKPOINTS: dict[str, Callable[[StepRecord], bool]] = {
    "prefix hit": has_prefix_hit,
    "preemption": lambda record: bool(record.preempted),
    "eviction": has_eviction,
    "wrong guess": has_wrong_guess,
    "sequence finishes": lambda record: bool(record.finished),
    "nothing left to do": lambda record: not record.running and not record.waiting,
}
"""Name -> whether to stop after this step."""


def breakpoints_at(record: StepRecord) -> list[str]:
    """The names of those that a step reaches."""
    return [name for name, is_there in BREAKPOINTS.items() if is_there(record)]


def find_breakpoint(name: str) -> Callable[[StepRecord], bool]:
    """The breakpoint of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in BREAKPOINTS:
        raise ConfigError(f"breakpoint {name!r} is not one of {', '.join(BREAKPOINTS)}.")
    return BREAKPOINTS[name]
