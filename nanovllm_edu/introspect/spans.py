"""When the phases of each step took place: from their lengths and the time of its commit.

A step measures how long each phase took; the recorder notes when it was committed. Steps may
overlap: then the next one is planned and launched while this one is on the device.

    plan k ... launched  ┌─ in flight ─┐  commit k
                         plan k+1 ... launched

The same in the browser: `viewer/js/spans.js`. Read next: `introspect/perfetto.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from nanovllm_edu.introspect.journal import Resumed, Stepped
from nanovllm_edu.introspect.recording import Recording

Phases = tuple[tuple[str, float, float], ...]
"""(phase, begin, end), one after the other."""


@dataclass(frozen=True, slots=True)
class StepSpans:
    """Seconds since the recording began.

    Attributes:
        launch: (phase, begin, end) of plan, prepare, forward and sample, those that were measured.
        ranks: Of each rank that shares the model, (phase, begin, end) of prepare, forward and
            sample. Their clocks are not compared: a rank is taken to begin when the plan was
            made, or when it is done with the step before.
        flight: From the end of the launch to the begin of the commit.
        commit: Begin and end.
    """

    launch: Phases
    flight: tuple[float, float]
    commit: tuple[float, float]
    ranks: tuple[Phases, ...] = ()

    @property
    def begin(self) -> float:
        """When it was planned."""
        return self.launch[0][1] if self.launch else self.flight[0]

    @property
    def end(self) -> float:
        """When it was committed."""
        return self.commit[1]


def step_spans(recording: Recording) -> list[StepSpans]:
    """The spans of every step."""
    entries = [entry for entry in recording.journal if isinstance(entry, Stepped)]
    planned_by = _planned_by(recording)
    spans: list[StepSpans] = []
    begin = 0.0  # of the next launch that follows another one
    ranks_end = 0.0
    for k, entry in enumerate(entries):
        timings, by = entry.record.timings, planned_by[k]
        commit = timings.get("commit", 0.0)
        if by == k and not entry.record.num_in_flight:  # alone: right before its commit
            begin = entry.seconds - commit - _launch_seconds(timings)
        elif k == 0 or planned_by[k - 1] != by:  # the first that was planned after a commit
            begin = entries[by - 1].seconds if by else _first_begin(entries, planned_by)
        launch = _chain(timings, begin)
        ranks_begin = max(ranks_end, begin + timings.get("plan", 0.0))
        ranks = tuple(_chain(one, ranks_begin) for one in entry.record.rank_timings)
        ranks_end = max((one[-1][2] for one in ranks if one), default=ranks_begin)
        begin += _launch_seconds(timings)
        commit_begin = entry.seconds - commit
        flight = begin, max(begin, commit_begin)
        spans.append(StepSpans(launch, flight, (commit_begin, entry.seconds), ranks))
    return spans


def _planned_by(recording: Recording) -> list[int]:
    """For each step the one before whose commit it was planned; itself if nothing overlapped."""
    planned_by = [0] * len(recording)
    step, num_planned = 0, recording.initial.num_planned
    for entry in recording.journal:
        if isinstance(entry, Resumed):
            for left in range(num_planned, min(entry.frame.num_planned, len(recording))):
                planned_by[left] = step
            num_planned = entry.frame.num_planned
        elif isinstance(entry, Stepped):
            while num_planned <= recording.last_planned(step):
                planned_by[num_planned] = step
                num_planned += 1
            step += 1
    return planned_by


def _first_begin(entries: list[Stepped], planned_by: list[int]) -> float:
    """Everything planned before the first commit was launched one after the other."""
    early = [e for e, by in zip(entries, planned_by, strict=True) if by == 0]
    launches = sum(_launch_seconds(entry.record.timings) for entry in early)
    return entries[0].seconds - entries[0].record.timings.get("commit", 0.0) - launches


def _launch_seconds(timings: Mapping[str, float]) -> float:
    return sum(seconds for phase, seconds in timings.items() if phase != "commit")


def _chain(timings: Mapping[str, float], begin: float) -> Phases:
    apart = ("commit", "all-reduce")  # the second is a part of the others
    phases = {phase: seconds for phase, seconds in timings.items() if phase not in apart}
    edges = [begin]
    for seconds in phases.values():
        edges.append(edges[-1] + seconds)
    return tuple((phase, *edge) for phase, edge in zip(phases, pairwise(edges), strict=True))
