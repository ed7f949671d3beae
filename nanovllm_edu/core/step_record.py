"""`StepRecord`: everything that one `engine.step()` decided and did.

It is the plan that drove the device, and what came of it. A frozen value, equal when what it
describes is equal, with a deterministic text form and an HTML form for notebooks. It holds no live
object, so keeping thousands of them is cheap and safe.

Read next: `core/in_flight.py`, which makes it; `core/engine_state.py`; `core/html.py`, how a
notebook shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import filterfalse
from typing import Any

from nanovllm_edu.core import html
from nanovllm_edu.core.events import Event, counted
from nanovllm_edu.core.plan import Blocked, Span, Spans, StepPlan, TokenLogprobs


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """One step.

    Attributes:
        plan: What was decided.
        new_tokens: seq_id -> the tokens it got: one, or several where guesses came true.
        finished: seq_id -> reason ("stop", "length" or "error").
        effects: What the new tokens brought about, as events.
        waiting: seq_ids that wait, head first, after the step.
        block_tables: seq_id -> physical block ids, as the step used them (sequences that finished
            in it included), in order of admission.
        logprobs: seq_id -> log probabilities of its new tokens, where asked for.
        num_in_flight: Later steps that were already planned when this one was committed; 0 unless
            `run` plans ahead. It tells in which order plans and commits took effect.
        timings: Seconds of the phases plan, prepare, forward, sample, commit. Not compared.
        rank_timings: Seconds of prepare, forward, sample and all-reduce of each rank, if several
            share the model. Not compared.
    """

    plan: StepPlan
    new_tokens: Mapping[int, tuple[int, ...]]
    finished: Mapping[int, str]
    effects: tuple[Event, ...]
    waiting: tuple[int, ...]
    block_tables: Mapping[int, tuple[int, ...]]
    logprobs: Mapping[int, tuple[TokenLogprobs, ...]] = field(
        default_factory=dict[int, tuple[TokenLogprobs, ...]]
    )
    num_in_flight: int = 0
    timings: Mapping[str, float] = field(
        default_factory=dict[str, float], compare=False, repr=False
    )
    rank_timings: tuple[Mapping[str, float], ...] = field(default=(), compare=False, repr=False)

    @property
    def step_id(self) -> int:
        """Ascending from 0."""
        return self.plan.step_id

    @property
    def spans(self) -> Spans:
        """The work, in batch order."""
        return self.plan.spans

    @property
    def blocked(self) -> Blocked | None:
        """Why the head of the queue waits, or None."""
        return self.plan.blocked

    @property
    def preempted(self) -> tuple[int, ...]:
        """seq_ids sent back to wait."""
        return self.plan.preempted

    @property
    def events(self) -> tuple[Event, ...]:
        """Every decision and effect, in order, each with its reason (`event.why`)."""
        return self.plan.events + self.effects

    @property
    def running(self) -> tuple[int, ...]:
        """seq_ids that run, after the step."""
        return tuple(filterfalse(self.finished.__contains__, self.block_tables))

    @property
    def num_tokens(self) -> int:
        """Tokens that went through the model."""
        return self.plan.num_tokens

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values (seq_ids become string keys)."""
        return {
            "step_id": self.step_id,
            "spans": [{**span._asdict(), "given": list(span.given)} for span in self.spans],
            "joined": [
                {
                    **joined._asdict(),
                    "token_ids": list(joined.token_ids),
                    "sampling": joined.sampling.to_dict(),
                }
                for joined in self.plan.joined
            ],
            "left": list(self.plan.left),
            "block_updates": [
                {**update._asdict(), "block_ids": list(update.block_ids)}
                for update in self.plan.block_updates
            ],
            "copies": [
                {"source": list(copy.source), "target": list(copy.target)}
                for copy in self.plan.copies
            ],
            "new_tokens": {str(k): list(v) for k, v in self.new_tokens.items()},
            "finished": {str(k): v for k, v in self.finished.items()},
            "events": [event.to_dict() for event in self.events],
            "waiting": list(self.waiting),
            "running": list(self.running),
            "block_tables": {str(k): list(v) for k, v in self.block_tables.items()},
            "blocked": self.blocked.to_dict() if self.blocked else None,
            "preempted": list(self.preempted),
            "num_in_flight": self.num_in_flight,
            "timings": dict(self.timings),
        }

    def __repr__(self) -> str:
        spans = ", ".join(f"seq {s.seq_id} [{s.start}, {s.end}) {kind_of(s)}" for s in self.spans)
        tokens = {seq_id: list(tokens) for seq_id, tokens in self.new_tokens.items()}
        lines = [
            f"StepRecord {self.step_id}: {counted(self.num_tokens, 'token')}",
            f"  spans    {spans or '(none)'}",
            f"  tokens   {tokens}",
            f"  running  {list(self.running)}   waiting  {list(self.waiting)}",
        ]
        if self.finished:
            lines.append(f"  finished {dict(self.finished)}")
        if self.blocked:
            lines.append(f"  blocked  {self.blocked.why}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        grown = {update.row: update.block_ids for update in self.plan.block_updates}
        rows = [
            (
                span.seq_id,
                kind_of(span),
                f"[{span.start}, {span.end})",
                list(self.block_tables.get(span.seq_id, ())),
                list(grown.get(span.row, ())) or "",
                ", ".join(map(str, self.new_tokens.get(span.seq_id, ()))),
                self.finished.get(span.seq_id, ""),
            )
            for span in self.spans
        ]
        header = ("seq", "work", "positions", "block table", "new blocks", "tokens", "finished")
        tokens = counted(self.num_tokens, "token")
        title = f"Step {self.step_id}: {tokens} of {counted(len(self.spans), 'sequence')}"
        notes = [f"running {list(self.running)} · waiting {list(self.waiting)}"]
        notes += [self.blocked.why] if self.blocked else []
        notes += [event.why for event in self.events]
        return html.table(title, header, rows) + "".join(map(html.paragraph, notes))


def kind_of(span: Span) -> str:
    """What others call this work: "decode", "verify" (guesses) or "prefill"."""
    if span.num_drafted:
        return "verify"
    return "decode" if span.num_tokens == 1 and span.is_sampled else "prefill"
