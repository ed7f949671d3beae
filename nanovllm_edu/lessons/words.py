"""Pictures in words, for those who do not see them: what is to be seen, in a sentence or a few.

    timeline_in_words(records)    "seq 0: 9 tokens of prefill in step 0, decode in steps 1 to 7"
    pool_in_words(state)          "12 blocks: 3 used by seq 0, 2 cached, 7 free"
    series_in_words(x, series)    "measured: from 3 at 1 to 8 at 16"

Read next: `pictures.py`, which draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from nanovllm_edu.core.engine_state import EngineState
from nanovllm_edu.core.step_record import StepRecord, kind_of

MOST = 6
"""So many sequences or bars are told one by one."""


def timeline_in_words(records: Sequence[StepRecord], names: Sequence[str] = ()) -> str:
    """What each sequence does in which steps."""
    seq_ids = sorted({i for r in records for i in (*r.waiting, *r.spans.seq_ids)})
    labels = names or [f"seq {i}" for i in seq_ids]
    told = [
        f"{label}: {', '.join(_runs(records, seq_id))}"
        for label, seq_id in zip(labels, seq_ids, strict=True)
    ]
    return _listed(told, "sequences")


def _runs(records: Sequence[StepRecord], seq_id: int) -> Iterator[str]:
    """Stretches of steps in which a sequence does the same."""
    doing = [(_activity(record, seq_id), record) for record in records]
    for activity, group in groupby(doing, key=lambda pair: pair[0]):
        steps = [record for _, record in group]
        if activity:
            num_tokens = sum(s.num_tokens for r in steps for s in r.spans if s.seq_id == seq_id)
            what = f"{num_tokens} tokens of prefill" if activity == "prefill" else activity
            first, last = steps[0].step_id, steps[-1].step_id
            yield (
                f"{what} in step {first}" if first == last else f"{what} in steps {first} to {last}"
            )


def _activity(record: StepRecord, seq_id: int) -> str:
    """prefill, decode, waits, or nothing."""
    if seq_id in record.waiting:
        return "waits"
    kinds = [
        "decode" if kind_of(s) == "decode" else "prefill"
        for s in record.spans
        if s.seq_id == seq_id
    ]
    return kinds[0] if kinds else ""


def pool_in_words(state: EngineState) -> str:
    """How many blocks each sequence uses, and how many are shared, cached or free."""
    tables = state.block_tables.items()
    parts = [f"{len(table)} used by seq {seq_id}" for seq_id, table in tables if table]
    shared = sum(block.ref_count > 1 for block in state.blocks)
    parts += [f"{shared} of them shared"] * bool(shared)
    parts += [f"{state.num_blocks(kind)} {kind}" for kind in ("cached", "free")]
    return f"{len(state.blocks)} blocks: {', '.join(parts)}"


def bars_in_words(labels: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str:
    """Each bar with its value, written as the picture writes it."""
    told = [
        f"{name}: " * bool(name)
        + _listed(
            [f"{label} {value}" for label, value in zip(labels, values, strict=True)], "bars", ", "
        )
        for name, values in groups.items()
    ]
    return "; ".join(told)


def series_in_words(x: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
    """Where each line begins and ends, and its highest point if that is neither."""
    told = []
    for name, y in series.items():
        top = max(range(len(y)), key=lambda place: y[place])
        peak = f", highest {_said(y[top])} at {x[top]:g}" if 0 < top < len(y) - 1 else ""
        told.append(f"{name}: from {_said(y[0])} at {x[0]:g} to {_said(y[-1])} at {x[-1]:g}{peak}")
    return "; ".join(told)


def _said(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _listed(told: Sequence[str], noun: str, between: str = "; ") -> str:
    """Joined; many are cut."""
    more = len(told) - MOST
    return between.join([*told[:MOST], *([f"and {more} more {noun}"] if more > 0 else [])])
