"""`fit`: a recording of a real run becomes a calibration.

Every step gives an equation: so much `Work` took so many seconds. A few hundred of them, with few
and many rows, short and long contexts, small and large prompts, determine the seconds of each.

A step's time is the time between the ends of two steps, so it holds all that a loop costs:
planning, the device, committing, and taking in new requests. What the engine timed as planning,
preparing and committing is the host's, all else the device's.

Each equation is divided by the root of the time that is predicted for it: a long step may be wrong
by more than a short one, yet counts for more. So the predicted times of all steps sum up to what
they took. (Divided by the measured times, quick steps would count for more than slow ones of the
same work, and all would be predicted too quick.) As the prediction is what is looked for, it is
found in a few rounds.

What is left is kept, too: by which part the steps took more or less than predicted.

Read next: `runner.py`, which lives by the result.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from statistics import median
from typing import NamedTuple

from nanovllm_edu.core.events import Finished
from nanovllm_edu.errors import CalibrationError, listed, of_type, shown
from nanovllm_edu.introspect.journal import Aborted, Added, Resumed, Stepped
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.virtual.calibration import Calibration, Seconds
from nanovllm_edu.virtual.least_squares import nonnegative
from nanovllm_edu.virtual.work import Work, work_of

HOST_PHASES = ("plan", "prepare", "commit")
FEWEST_STEPS = 50
NUM_ROUNDS = 4
NUM_QUANTILES = 100
"""Numbers that say how much steps of the same work differ."""
SHORTEST = 1e-7
"""Seconds: what nothing is weighed as if it took less."""


class Sample(NamedTuple):
    """One step: its work, its seconds, and how many of them were the host's."""

    work: Work
    seconds: float
    host_seconds: float


def samples_of(recording: Recording) -> Iterator[Sample]:
    """Every step that began when the one before it ended, or when a request woke the engine.

    Raises:
        CalibrationError: Steps overlapped, so that nobody can tell how long one took; or that is no
            recording.
    """
    of_type(
        recording, Recording, "recording", "give what `introspect.load` returns", CalibrationError
    )
    begin, unfinished = None, set[int](recording.initial.sequences)
    for entry in recording.journal:
        match entry:
            case Added():
                if not unfinished:
                    begin = entry.seconds
                unfinished.add(entry.request.seq_id)
            case Stepped():
                record = entry.record
                if record.num_in_flight:
                    raise CalibrationError(
                        f"step {record.step_id} was planned while another one ran, so its own time "
                        "is not known; record with step(), or run(depth=0)."
                    )
                seconds = entry.seconds - begin if begin is not None else 0.0
                if seconds > 0:
                    host = sum(record.timings.get(phase, 0.0) for phase in HOST_PHASES)
                    yield Sample(work_of(record.plan), seconds, min(host, seconds))
                begin = entry.seconds
                unfinished.difference_update(record.finished)
            case Aborted():
                unfinished.difference_update(
                    event.seq_id for event in entry.events if isinstance(event, Finished)
                )
            case Resumed():
                begin = None  # whatever failed took its time, and nobody knows how much
            case _:
                pass


def fit(recordings: Iterable[Recording], *, source: str = "recorded steps") -> Calibration:
    """Finds the seconds that explain the steps best.

    Args:
        recordings: Of one model on one device.
        source: How the steps were timed, for people to read.

    Raises:
        CalibrationError: There are too few steps, they are of several devices, say nothing of one,
            or overlapped.
    """
    recordings = listed(recordings, "recordings", CalibrationError)
    if not all(isinstance(recording, Recording) for recording in recordings):
        raise CalibrationError(
            f"{shown(recordings)} are not all recordings; give what `introspect.load` returns."
        )
    made_of = {
        (str(r.engine.get("model", "")), str(r.engine.get("device", ""))) for r in recordings
    }
    if len(made_of) != 1 or "" in next(iter(made_of)):
        raise CalibrationError(
            f"the recordings are of {sorted(made_of)}; give recordings of one model on one device."
        )
    model, device = made_of.pop()
    samples = [sample for recording in recordings for sample in samples_of(recording)]
    host, on_device = seconds_of(samples)
    return _described(samples, on_device, host, model, device, source)


def seconds_of(samples: Sequence[Sample]) -> tuple[Seconds, Seconds]:
    """The host's and the device's seconds of each kind of work.

    Raises:
        CalibrationError: There are too few samples.
    """
    samples = listed(samples, "samples", CalibrationError)
    if len(samples) < FEWEST_STEPS:
        raise CalibrationError(
            f"{len(samples)} steps say too little; record at least {FEWEST_STEPS}, with few and "
            "many sequences, and prompts of several lengths."
        )
    works = [sample.work for sample in samples]
    host = _weighted(works, [sample.host_seconds for sample in samples])
    return host, _weighted(works, [sample.seconds - sample.host_seconds for sample in samples])


def _weighted(works: Sequence[Work], seconds: Sequence[float]) -> Seconds:
    """The seconds of each kind of work, if these works took so long."""
    expected, found = [max(s, SHORTEST) for s in seconds], Seconds()
    for _ in range(NUM_ROUNDS):
        weights = [s**-0.5 for s in expected]
        rows = ([w * x for x in work] for work, w in zip(works, weights, strict=True))
        values = (w * s for s, w in zip(seconds, weights, strict=True))
        found = Seconds(*nonnegative(rows, values))
        expected = [max(found.of(work), SHORTEST) for work in works]
    return found


def errors_of(samples: Sequence[Sample], device: Seconds, host: Seconds) -> tuple[float, float]:
    """By what fraction half of the steps are wrong at most, and their sum."""
    predicted = [device.of(s.work) + host.of(s.work) for s in samples]
    pairs = list(zip(predicted, samples, strict=True))
    step_error = median(abs(p / s.seconds - 1) for p, s in pairs)
    return step_error, sum(predicted) / sum(s.seconds for s in samples) - 1


def spread_of(samples: Sequence[Sample], device: Seconds, host: Seconds) -> tuple[float, ...]:
    """By which part of their predicted times steps take more: quantiles, mean 0."""
    predicted = (max(device.of(s.work) + host.of(s.work), SHORTEST) for s in samples)
    pairs = zip(predicted, samples, strict=True)
    ranked = sorted(sample.seconds / p - 1 for p, sample in pairs)
    middles = ((i + 0.5) / NUM_QUANTILES for i in range(NUM_QUANTILES))
    chosen = [ranked[int(q * len(ranked))] for q in middles]
    mean = sum(chosen) / len(chosen)
    return tuple(round(value - mean, 7) for value in chosen)


def _described(
    samples: list[Sample], device: Seconds, host: Seconds, model: str, name: str, source: str
) -> Calibration:
    step_error, total_error = errors_of(samples, device, host)
    versions = {"python": python_version(), **dict(_versions("nanovllm-edu", "torch", "triton"))}
    return Calibration(
        device=device,
        host=host,
        model=model,
        device_name=name,
        date=date.today().isoformat(),
        versions=versions,
        source=source,
        num_steps=len(samples),
        step_error=step_error,
        total_error=total_error,
        spread=spread_of(samples, device, host),
    )


def _versions(*packages: str) -> Iterator[tuple[str, str]]:
    for package in packages:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
