"""Key frames, events and requests as plain JSON values, and back.

A key frame is a whole engine state in as few numbers as possible: tokens are left to the history
(they never change), blank blocks are left out. An event is a list: the index of its kind, then its
fields in order. The kinds and their fields are written into every document, so that a reader needs
no table of its own.

Read next: `introspect/codec.py`, which puts documents together.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, get_type_hints

from nanovllm_edu.core.events import EVENT_TYPES, Event
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.history import Content, FoldedSequence, History, Request
from nanovllm_edu.introspect.shape import Count, Either, Numbers, Optional, check

KINDS = tuple(EVENT_TYPES)
FIELDS = {name: tuple(f.name for f in fields(cls)) for name, cls in EVENT_TYPES.items()}
_DEFAULTS = SamplingParams().to_dict()

_SHAPES: dict[Any, Any] = {
    int: Count,
    str: str,
    int | None: Optional,
    tuple[int, ...]: Numbers,
    tuple[bool, ...]: [bool],
}
"""Annotation of an event's field -> what it looks like in a document."""


def _shape_of(name: str, hint: Any) -> Any:
    return {"hash": Either(str, None), "hashes": [str]}.get(name) or _SHAPES[hint]


EVENT_SHAPES: dict[str, tuple[Any, ...]] = {
    name: tuple(_shape_of(field, get_type_hints(cls)[field]) for field in FIELDS[name])
    for name, cls in EVENT_TYPES.items()
}

REQUEST = {
    "seq_id": Count,
    "token_ids": Numbers,
    "num_prompt_tokens": Count,
    "params": {str: Any},
    "seed": int,
}
FRAME = {
    "planned": Count,
    "waiting": Numbers,
    "running": Numbers,
    "sequences": [(Count, Count, Count, Count, Count, Optional, Numbers)],
    "blocks": [
        Either(
            (Count, Count),
            (Count, Count, Either(str, None), Numbers),
            (Count, Count, Either(str, None), Count, Count),
        )
    ],
    "eviction_order": Numbers,
}


def hash_to_text(value: int | None) -> str | None:
    """16 hex digits: JavaScript's integers end at 2**53."""
    return None if value is None else f"{value:016x}"


def hash_from_text(text: str | None) -> int | None:
    """The number behind `hash_to_text`."""
    return None if text is None else int(text, 16)


# ---------------------------------------------------------------------------------- events


def encode_events(events: Iterable[Event]) -> list[list[Any]]:
    """Events as lists: index of the kind, then the fields."""
    return [_encode_event(event) for event in events]


def _encode_event(event: Event) -> list[Any]:
    name = type(event).__name__
    values = [_plain(field, getattr(event, field)) for field in FIELDS[name]]
    return [KINDS.index(name), *values]


def _plain(field: str, value: Any) -> Any:
    if field == "hash":
        return hash_to_text(value)
    if field == "hashes":
        return list(map(hash_to_text, value))
    return list(value) if isinstance(value, tuple) else value


def decode_events(rows: list[list[Any]]) -> tuple[Event, ...]:
    """The events behind `encode_events`."""
    return tuple([_decode_event(*row) for row in rows])


def _decode_event(kind: int, *values: Any) -> Event:
    check(kind, Count, "the kind of an event")
    name = KINDS[kind]
    check(list(values), EVENT_SHAPES[name], name)
    typed: dict[str, Any] = {
        field: _typed(field, value) for field, value in zip(FIELDS[name], values, strict=True)
    }
    return EVENT_TYPES[name](**typed)


def _typed(field: str, value: Any) -> Any:
    if field == "hash":
        return hash_from_text(value)
    if field == "hashes":
        return tuple(map(hash_from_text, value))
    return tuple(value) if isinstance(value, list) else value


# -------------------------------------------------------------------------------- requests


def encode_request(request: Request) -> dict[str, Any]:
    """A request; of its sampling parameters those that differ from the defaults."""
    return {
        "seq_id": request.seq_id,
        "token_ids": list(request.token_ids),
        "num_prompt_tokens": request.num_prompt_tokens,
        "params": encode_params(request.params),
        "seed": request.seed,
    }


def encode_params(params: SamplingParams) -> dict[str, Any]:
    """Those that differ from their defaults."""
    return {k: v for k, v in params.to_dict().items() if v != _DEFAULTS[k]}


def decode_request(values: dict[str, Any]) -> Request:
    """The request behind `encode_request`."""
    return Request(
        values["seq_id"],
        tuple(values["token_ids"]),
        values["num_prompt_tokens"],
        SamplingParams(**values["params"]),
        values["seed"],
    )


# ------------------------------------------------------------------------------ key frames


def encode_frame(fold: Fold) -> dict[str, Any]:
    """A fold without its history."""
    return {
        "planned": fold.num_planned,
        "waiting": list(fold.waiting),
        "running": list(fold.running),
        "sequences": [_encode_sequence(seq) for seq in fold.sequences.values()],
        "blocks": [
            [block_id, ref_count, *_encode_content(content)]
            for block_id, (ref_count, content) in enumerate(
                zip(fold.ref_counts, fold.contents, strict=True)
            )
            if ref_count or content is not None
        ],
        "eviction_order": list(fold.evictable),
    }


def _encode_content(content: Content | None) -> list[Any]:
    """Whose tokens they are; the tokens themselves if nobody's that is known."""
    if content is None:
        return []
    if content.seq_id is None:
        return [hash_to_text(content.hash), list(content.token_ids)]
    return [hash_to_text(content.hash), content.seq_id, content.index]


def _encode_sequence(seq: FoldedSequence) -> list[Any]:
    return [
        seq.seq_id,
        seq.num_known,
        seq.num_prompt_tokens,
        seq.num_computed_tokens,
        seq.num_claimed,
        seq.row,
        list(seq.block_table),
    ]


def decode_frame(values: dict[str, Any], engine: dict[str, Any], history: History) -> Fold:
    """The fold behind `encode_frame`."""
    fold = Fold(engine["num_blocks"], engine["block_size"], history)
    fold.num_planned = values["planned"]
    fold.waiting = OrderedDict.fromkeys(values["waiting"])
    fold.running = OrderedDict.fromkeys(values["running"])
    for numbers in values["sequences"]:
        seq = FoldedSequence(*numbers[:-1], block_table=list(numbers[-1]))
        fold.sequences[seq.seq_id] = seq
    queued = [*fold.waiting, *fold.running]
    assert sorted(queued) == sorted(fold.sequences), (
        "the queues hold other sequences than there are"
    )
    for block_id, ref_count, *content in values["blocks"]:
        fold.ref_counts[block_id] = ref_count
        fold.contents[block_id] = _decode_content(fold, *content) if content else None
    fold.evictable = OrderedDict.fromkeys(values["eviction_order"])
    return fold


def _decode_content(fold: Fold, key: str | None, *place: Any) -> Content:
    if len(place) == 1:
        return Content(hash_from_text(key), tuple(place[0]))
    seq_id, index = place
    start = index * fold.block_size
    token_ids = fold.history.token_ids[seq_id][start : start + fold.block_size]
    return Content(hash_from_text(key), tuple(token_ids), seq_id, index)
