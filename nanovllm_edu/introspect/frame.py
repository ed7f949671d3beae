"""Key frames and events as plain JSON values, and back.

A key frame is a whole engine state in as few numbers as possible: tokens are left to the history
(they never change), blank blocks are left out. An event is a list: the index of its kind, then its
fields in order. The kinds and their fields are written into every document, so that a reader needs
no table of its own.

Read next: `introspect/codec.py`, which puts documents together.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from nanovllm_edu.core.events import EVENT_TYPES, Event
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.history import FoldedSequence, History, Request

KINDS = tuple(EVENT_TYPES)
FIELDS = {name: tuple(f.name for f in fields(cls)) for name, cls in EVENT_TYPES.items()}
_DEFAULTS = SamplingParams().to_dict()


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
    return list(value) if isinstance(value, tuple) else value


def decode_events(rows: list[list[Any]]) -> list[Event]:
    """The events behind `encode_events`."""
    return [_decode_event(*row) for row in rows]


def _decode_event(kind: int, *values: Any) -> Event:
    name = KINDS[kind]
    typed: dict[str, Any] = {
        field: hash_from_text(value) if field == "hash" else _frozen(value)
        for field, value in zip(FIELDS[name], values, strict=True)
    }
    return EVENT_TYPES[name](**typed)


def _frozen(value: Any) -> Any:
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
            [block_id, ref_count, hash_to_text(key)]
            for block_id, (ref_count, key) in enumerate(
                zip(fold.ref_counts, fold.hashes, strict=True)
            )
            if ref_count or key is not None
        ],
        "eviction_order": list(fold.evictable),
    }


def _encode_sequence(seq: FoldedSequence) -> list[Any]:
    return [
        seq.seq_id,
        seq.num_known,
        seq.num_prompt_tokens,
        seq.num_computed_tokens,
        seq.num_in_flight,
        seq.slot,
        int(seq.is_decoding),
        list(seq.block_table),
    ]


def decode_frame(values: dict[str, Any], engine: dict[str, Any], history: History) -> Fold:
    """The fold behind `encode_frame`."""
    fold = Fold(engine["num_blocks"], engine["block_size"], history)
    fold.num_planned = values["planned"]
    fold.waiting = OrderedDict.fromkeys(values["waiting"])
    fold.running = OrderedDict.fromkeys(values["running"])
    for seq_id, *numbers, is_decoding, table in values["sequences"]:
        fields: list[Any] = [seq_id, *numbers, bool(is_decoding), list(table)]
        fold.sequences[seq_id] = FoldedSequence(*fields)
    for block_id, ref_count, key in values["blocks"]:
        fold.ref_counts[block_id] = ref_count
        fold.hashes[block_id] = hash_from_text(key)
    fold.evictable = OrderedDict.fromkeys(values["eviction_order"])
    return fold
