"""A recording in words: the same text for equal recordings, so that a test can compare it.

Times are left out, for they differ from run to run. Read next: `core/plan.py`, where the
sentences come from.
"""

from nanovllm_edu.introspect.recording import Recording, block_counts


def to_text(recording: Recording, first: int = 0, last: int | None = None) -> str:
    """Steps [first, last) with their events and the blocks after them."""
    last = len(recording) if last is None else min(last, len(recording))
    return "\n\n".join([repr(recording), *(_step(recording, i) for i in range(first, last))])


def _step(recording: Recording, index: int) -> str:
    record = recording[index]
    lines = [repr(record), f"  blocks   {block_counts(recording.fold_to(index))}"]
    lines += [f"  - {event.why}" for event in record.events]
    return "\n".join(lines)
