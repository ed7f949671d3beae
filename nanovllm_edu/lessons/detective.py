"""Runs the cases of `cases.py`, compares every token with the truth, and audits the books.

    report = investigate(case(1))        the symptom, in words
    bet = who(1)                         name the culprit before you look
    widgets.show(report.recording)       the same run in the viewer
    prove(case(1), my_method)            the mended part on every case and on random requests

Read next: `lesson_13.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from nanovllm_edu.core.events import PrefixHit
from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.lessons.cases import CASES, Case, Request, build_engine, right_tokens
from nanovllm_edu.lessons.checks import greedy
from nanovllm_edu.lessons.prediction import Prediction, predict
from nanovllm_edu.lessons.progress import Progress

MAX_STEPS = 400
NUM_RANDOM_RUNS = 24
NUM_FRESH_RUNS = 8


def who(number: int, learner: int | None = None) -> Prediction:
    """Asks who is behind a case. The suspects are in an order of the learner's own for each case.

    Args:
        number: Of the case.
        learner: The learner's number; by default from their `progress.json`, or 0.
    """
    if learner is None:
        learner = Progress.beside_the_notebook().learner
    suspects = sorted(case.name for case in CASES)
    Random(f"{learner} {number}").shuffle(suspects)
    return predict(f"Who is behind case {number}?", *suspects)


@dataclass(frozen=True, slots=True)
class Report:
    """What came out of a run.

    Attributes:
        recording: Every step that was taken.
        wrong: One sentence per sequence that got a wrong token.
        audit: What the invariant checker found first, or None.
        crash: The exception that ended the run, or None.
        num_hit_tokens: Tokens found in the cache at all admissions.
    """

    recording: Recording
    wrong: tuple[str, ...]
    audit: str | None
    crash: str | None
    num_hit_tokens: int

    @property
    def is_right(self) -> bool:
        """Nothing to complain about."""
        return not (self.wrong or self.audit or self.crash)

    @property
    def symptom(self) -> str:
        """The first thing that is wrong."""
        return next(filter(None, (self.crash, *self.wrong, self.audit)), "nothing is wrong")

    def __repr__(self) -> str:
        lines = [f"{len(self.recording)} steps"]
        lines += [f"  tokens   {text}" for text in self.wrong or ["all right"]]
        lines.append(f"  books    {self.audit or 'balance after every step'}")
        if self.crash:
            lines.append(f"  crash    {self.crash}")
        return "\n".join(lines)


def investigate(what: Case, part: type | None = None) -> Report:
    """Runs a case on its broken engine, or with another class in the place of the broken one."""
    return run(build_engine(part or what.broken, what.options), what.requests)


def run(engine: LLMEngine, requests: Sequence[Request], depth: int = 0) -> Report:
    """Serves the requests, auditing after every step. An exception of the engine ends the run.

    Args:
        engine: Fresh.
        requests: In order of arrival.
        depth: Steps planned ahead, as in `engine.run`.
    """
    recorder = Recorder(engine)
    tokens: dict[int, list[int]] = {}
    audit = crash = None
    try:
        for record in _steps(recorder, list(requests), depth):
            for seq_id, new in record.new_tokens.items():
                tokens.setdefault(seq_id, []).extend(new)
            audit = audit or _audit(engine, record)
    except Exception as error:  # whatever a broken engine raises is a finding
        reason = str(error) or "an internal check"
        crash = f"step {len(recorder)} raised {type(error).__name__}: {reason}"
    wrong = _wrong(requests, tokens, engine.max_model_len, is_cut=crash is not None)
    events = (event for record in recorder.recording for event in record.events)
    num_hit_tokens = sum(event.num_tokens for event in events if isinstance(event, PrefixHit))
    return Report(recorder.recording, tuple(wrong), audit, crash, num_hit_tokens)


def _steps(recorder: Recorder, pending: list[Request], depth: int) -> Iterator[StepRecord]:
    stream: Iterator[StepRecord] = iter(())
    for step in range(MAX_STEPS):
        while pending and pending[0].at_step <= step:
            request = pending.pop(0)
            recorder.add_request(list(request.prompt), greedy(request.max_tokens))
        record = next(stream, None)
        if record is None and recorder.engine.has_unfinished_requests():
            stream = recorder.run(depth)
            record = next(stream, None)
        if record is not None:
            yield record
        elif not pending:
            return
    raise RuntimeError(f"not done after {MAX_STEPS} steps")


def _audit(engine: LLMEngine, record: StepRecord) -> str | None:
    try:
        engine.scheduler.check_invariants()
    except AssertionError as error:
        what = str(error).partition("\n")[0]
        return f"after step {record.step_id}: {what or 'an invariant does not hold'}"
    return None


def _wrong(
    requests: Sequence[Request], tokens: Mapping[int, list[int]], longest: int, *, is_cut: bool
) -> Iterator[str]:
    for seq_id, request in enumerate(requests):
        right, got = right_tokens(request, longest), tokens.get(seq_id, [])
        if is_cut:
            right = right[: len(got)]
        if got != right:
            same = [a == b for a, b in zip(got, right, strict=False)]
            first = same.index(False) if False in same else len(same)
            yield f"seq {seq_id}: right is {right}, it got {got}; wrong from its token {first} on"


# ----------------------------------------------------------------------------- the proof


@dataclass(frozen=True, slots=True)
class Proof:
    """What is left after mending: None everywhere if the defect is gone and nothing else broke.

    Attributes:
        own: What still goes wrong on the case's own requests.
        elsewhere: What goes wrong on other requests.
        lost_hits: (found, should have found) cached tokens, if the cache finds less than it should.
    """

    own: str | None = None
    elsewhere: str | None = None
    lost_hits: tuple[int, int] | None = None


def prove(what: Case, function: Any, fresh: Random) -> Proof:
    """Tries a mended method on the case, on the other cases and on random requests.

    Args:
        what: The case.
        function: In place of the method at fault.
        fresh: For requests that are others each time.
    """
    part = what.mended(function)
    report = investigate(what, part)
    if not report.is_right:
        return Proof(own=report.symptom)
    num_found = num_due = 0
    for trial, (requests, options) in enumerate(_trials(fresh)):
        mine = run(build_engine(part, options), requests, depth=trial % 2)
        if not mine.is_right:
            return Proof(elsewhere=mine.symptom)
        num_found += mine.num_hit_tokens
        num_due += run(build_engine(None, options), requests, depth=trial % 2).num_hit_tokens
    return Proof(lost_hits=(num_found, num_due) if num_found < num_due else None)


def _trials(fresh: Random) -> Iterator[tuple[Sequence[Request], Mapping[str, Any]]]:
    for each in CASES:
        yield each.requests, each.options
    for seed in range(NUM_RANDOM_RUNS):
        yield random_requests(Random(seed))
    for _ in range(NUM_FRESH_RUNS):
        yield random_requests(fresh)


def random_requests(random: Random) -> tuple[list[Request], dict[str, Any]]:
    """Requests with common beginnings, on a small engine: they share, evict and preempt."""
    texts = [[random.randrange(24) for _ in range(24)] for _ in range(2)]
    requests: list[Request] = []
    at_step = 0
    for _ in range(random.randint(3, 6)):
        at_step += random.choice((0, 0, 1, 4))
        text = random.choice([*texts, *map(_whole, requests)])
        tail = random.choices(range(24), k=random.choice((0, 1)))
        prompt = (*text[: random.randint(1, 20)], *tail)
        requests.append(Request(at_step, prompt, random.choice((2, 5, 9))))
    options = {
        "num_blocks": random.choice((8, 10, 16)),
        "max_num_batched_tokens": random.choice((5, 12, 64)),
        "policy": random.choice((MixedPolicy(), PhaseSeparatedPolicy())),
        "eviction_policy": random.choice((LRU, FIFO)),
    }
    return requests, options


def _whole(request: Request) -> list[int]:
    """Prompt and answer: what a follow-up question begins with."""
    return [*request.prompt, *right_tokens(request)]


@dataclass(frozen=True, slots=True)
class Clues:
    """Some steps of a run in words."""

    lines: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join(self.lines)


def clues(report: Report, first: int, last: int, *kinds: str) -> Clues:
    """What happened in steps [first, last): the work, then each decision with its reason.

    Args:
        report: From `investigate`.
        first: The first step.
        last: One past the last step.
        *kinds: Only events of these types, such as "PrefixHit"; all of them if none is given.
    """
    lines: list[str] = []
    for record in report.recording.records[first:last]:
        work = ", ".join(f"seq {s.seq_id} [{s.start}, {s.end})" for s in record.spans)
        lines.append(f"step {record.step_id}: {work}")
        lines += [f"    seq {i} uses blocks {list(t)}" for i, t in record.block_tables.items()]
        chosen = [e for e in record.events if not kinds or type(e).__name__ in kinds]
        lines += [f"    - {event.why}" for event in chosen]
    return Clues(tuple(lines))
