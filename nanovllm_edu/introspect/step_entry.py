"""What a page is told of a step by itself, whatever the state before it: its work and its words.

Reasons travel as sentences. Read next: `introspect/view.py`, which adds what the step changed.
"""

from collections.abc import Iterable
from typing import Any

from nanovllm_edu.core.events import (
    BlockEvicted,
    DraftVerified,
    Event,
    Finished,
    Preempted,
    PrefixHit,
)
from nanovllm_edu.core.step_record import StepRecord, kind_of
from nanovllm_edu.introspect.breakpoints import breakpoints_at
from nanovllm_edu.introspect.codec import PHASES, encode_ranks, encode_times
from nanovllm_edu.introspect.going_on import GoingOn
from nanovllm_edu.introspect.labels import LABELS

WORK = ("prefill", "cached", "decode", "verify")
"""What a span does; "cached" is the prefill that is left after a prefix hit."""
_WORK = {kind: number for number, kind in enumerate(WORK)}
MARKS = ("prefix hit", "eviction", "preemption", "sequence finishes", "wrong guess")
"""Breakpoints that a page marks: a step has bit `1 << i` for the i-th of them."""
_KIND = {kind: number for number, kind in enumerate(LABELS)}
_MARKED = (PrefixHit, BlockEvicted, Preempted, Finished, DraftVerified)


def encode_step(record: StepRecord, stays: GoingOn) -> dict[str, Any]:
    """A step, but for those who go on: of them only their tokens."""
    if len(stays.seq_ids) == len(record.spans):
        told: dict[str, Any] = {"spans": []}
    else:
        told = _told_spans(record, len(stays.seq_ids))
    if stays.seq_ids:
        told["on"] = list(stays.left)
        told["given"] = [record.new_tokens[seq_id][0] for seq_id in stays.seq_ids]
    if events := record.events:
        told["events"] = [_event(event) for event in events]
    if any(isinstance(event, _MARKED) for event in events):
        told |= given(
            finished=endings(record.effects),
            preempted=list(record.preempted),
            marks=sum(1 << MARKS.index(n) for n in breakpoints_at(record) if n in MARKS),
        )
    blocked = [record.blocked.seq_id, record.blocked.detail] if record.blocked else None
    ranks = encode_ranks(record)
    told |= given(blocked=blocked, in_flight=record.num_in_flight, ranks=ranks)
    return {"step": record.step_id, "times": encode_times(record.timings, PHASES), **told}


def given(**values: Any) -> dict[str, Any]:
    """Those that are not empty."""
    return {name: value for name, value in values.items() if value}


def _told_spans(record: StepRecord, first: int) -> dict[str, Any]:
    """The spans from the `first` on, and what came of them."""
    hits = {e.seq_id for e in record.plan.events if isinstance(e, PrefixHit) and e.num_tokens}
    spans: list[int] = []
    tokens: list[list[int]] = []
    for span in record.spans[first:]:
        seq_id, _, start, num_tokens, _, num_drafted, is_sampled = span
        kind = "cached" if seq_id in hits else kind_of(span)
        spans += seq_id, start, num_tokens, _WORK[kind], int(is_sampled)
        if is_sampled and seq_id in record.new_tokens:
            place = start + num_tokens - num_drafted
            tokens.append([seq_id, place, *record.new_tokens[seq_id]])
    return {"spans": spans, **given(tokens=tokens, drafts=_drafts(record))}


def _drafts(record: StepRecord) -> dict[str, Any]:
    """seq_id -> its guesses, and how many of them came true (null: nobody asks any more)."""
    if not any(record.spans.nums_drafted):
        return {}
    accepted = {e.seq_id: e.num_accepted for e in record.effects if isinstance(e, DraftVerified)}
    return {
        str(span.seq_id): [list(span.drafted), accepted.get(span.seq_id)]
        for span in record.spans
        if span.num_drafted
    }


def _event(event: Event) -> list[Any]:
    """`[number of its kind, seq_id, sentence]`, and its first block if it has one."""
    block_ids = getattr(event, "block_ids", ())
    if isinstance(event, BlockEvicted):
        block_ids = (event.block_id,)
    return [_KIND[type(event)], event.seq_id, event.why, *block_ids[:1]]


def endings(events: Iterable[Event]) -> dict[str, list[str]]:
    """seq_id -> reason and what is behind it."""
    return {str(e.seq_id): [e.reason, e.detail] for e in events if isinstance(e, Finished)}
