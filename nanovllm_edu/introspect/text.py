"""A recording in words: the same text for equal recordings, so that a test can compare it.

Times are left out, for they differ from run to run. Read next: `core/plan.py`, where the
sentences come from.
"""

from nanovllm_edu.core import html
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.introspect.breakpoints import BREAKPOINTS
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.recording import Recording

NUM_SHOWN = 20
"""Rows of the HTML summary."""


def summary(recording: Recording) -> str:
    """One line: how much, of what."""
    engine = recording.engine
    return (
        f"Recording of {len(recording)} steps and {len(recording.requests)} sequences: "
        f"{engine['num_blocks']} blocks of {engine['block_size']} tokens, {engine['policy']}, "
        f"{engine['eviction_policy']}"
    )


def to_text(recording: Recording, first: int = 0, last: int | None = None) -> str:
    """Steps [first, last) with their events and the blocks after them."""
    last = len(recording) if last is None else min(last, len(recording))
    parts = [summary(recording)]
    for index in range(first, last):
        parts.append(_step(recording, index))
    return "\n\n".join(parts)


def _step(recording: Recording, index: int) -> str:
    record, fold = recording[index], recording.fold_to(index)
    lines = [repr(record), f"  blocks   {_counts(fold)}"]
    lines += [f"  - {event.why}" for event in record.events]
    return "\n".join(lines)


def _counts(fold: Fold) -> str:
    used, cached = sum(map(bool, fold.ref_counts)), len(fold.evictable)
    return f"{used} used, {cached} cached, {len(fold.ref_counts) - used - cached} free"


def summary_html(recording: Recording) -> str:
    """A table of the first steps, for a notebook without widgets."""
    rows = [_row(recording, index) for index in range(min(len(recording), NUM_SHOWN))]
    header = ("step", "tokens", "running", "waiting", "blocks", "what happened")
    text = html.table(summary(recording), header, rows)
    if len(recording) > NUM_SHOWN:
        text += html.paragraph(f"and {len(recording) - NUM_SHOWN} more steps; .show() has them all")
    return text


def _row(recording: Recording, index: int) -> tuple[object, ...]:
    record = recording[index]
    return (
        record.step_id,
        record.num_tokens,
        len(record.running),
        len(record.waiting),
        _counts(recording.fold_to(index)),
        ", ".join(_highlights(record)),
    )


def _highlights(record: StepRecord) -> list[str]:
    return [name for name, is_there in BREAKPOINTS.items() if is_there(record)]
