"""A fork of an engine, as a branch of its own that can be shown beside its origin.

A fork whose sequences go on where they are has the same past, so both views show the same step at
the same place. After other changes the sequences are computed anew: it begins at the fork.

Read next: `forking.py`, which says what can be changed; `introspect/rewind.py`.
"""

from typing import Any

from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.forking import KEEPS_CACHE
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.introspect.rewind import Rewinder
from nanovllm_edu.widgets.branch import Branch


def fork_branch(origin: Branch, rewinder: Rewinder, at: int, changes: dict[str, Any]) -> Branch:
    """A copy of the engine as it was after step `at`, with some options changed.

    Raises:
        ConfigError: An option that a fork cannot change.
        RecordingError: The steps up to there cannot be repeated.
    """
    recording = origin.recorder.recording
    forked = _fork(origin.recorder.engine, recording, rewinder, at, changes)
    names = ", ".join(f"{name}={value!r}" for name, value in changes.items()) or "no change"
    has_past = changes.keys() <= KEEPS_CACHE
    recorder = Recorder(forked, recording.begin(at) if has_past else None)
    begin = 0 if has_past else at + 1
    return Branch(recorder, begin, f"fork with {names}", origin.viewer.level)


def _fork(
    engine: LLMEngine, recording: Recording, rewinder: Rewinder, at: int, changes: dict[str, Any]
) -> LLMEngine:
    if at == len(recording) - 1:
        return engine.fork(**changes)
    with rewinder.engine_at(recording, at) as earlier:
        return earlier.fork(**changes)
