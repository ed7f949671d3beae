"""The stages that edit single logits, as one tuple: what they need, and what they do.

    grammar             what its form forbids at this position cannot be drawn
    allowed_token_ids   nothing else can be drawn
    bad_words           the last token of a forbidden run cannot follow the others
    min_tokens          what would end the request cannot be drawn yet
    logit_bias          so much is added to the logits of these tokens
    penalties           what was said already becomes less likely

Each stage has `build`, which asks the rows of a step what they want of it (None: nobody wants
anything, and nothing is sent to the device), and `apply`. That is vLLM's order. They change what
is likeliest, so greedy rows pass them too; the filters after them do not, and are in `stages.py`.
A stage of your own is one entry more.

What comes out of `build` is on the device, and nothing waits for it.

Read next: `tensors.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from nanovllm_edu.paged.batch import send
from nanovllm_edu.sampling import stages
from nanovllm_edu.sampling.rows import SamplingRow
from nanovllm_edu.sampling.stages import DROPPED

Rows = Sequence[SamplingRow]
Device = torch.device | str
Apply = Callable[[Tensor, Any], Tensor]
"""(logits in float32, what the stage needs) -> logits."""


class SamplingStage(NamedTuple):
    """One stage.

    Attributes:
        name: As people read it.
        build: (rows, device, token table) -> what `apply` needs; None if no row uses the stage.
        apply: Edits the logits by what was built.
    """

    name: str
    build: Callable[[Rows, Device, Tensor | None], Any]
    apply: Apply


Edits = tuple[tuple[SamplingStage, Any], ...]


def build_edits(rows: Rows, device: Device, token_table: Tensor | None) -> Edits:
    """The stages in use, each with what it needs."""
    built = ((stage, stage.build(rows, device, token_table)) for stage in STAGES)
    return tuple((stage, needed) for stage, needed in built if needed is not None)


# --------------------------------------------------------------- what is added to single logits


class Additions(NamedTuple):
    """Values for single logits; several for the same one add up."""

    rows: Int[Tensor, " entries"]
    token_ids: Int[Tensor, " entries"]
    values: Float[Tensor, " entries"]


def add(logits: Float[Tensor, "rows vocab"], more: Additions) -> Float[Tensor, "rows vocab"]:
    """Adds them. A token to which minus infinity is added cannot be drawn."""
    return logits.index_put((more.rows, more.token_ids), more.values, accumulate=True)


def _additions(entries: Iterable[tuple[int, int, float]], device: Device) -> Additions | None:
    listed = list(entries)
    if not listed:
        return None
    rows, token_ids, values = zip(*listed, strict=True)
    return Additions(*send([rows, token_ids], device), *send([values], device, np.float32))


def _logit_bias(rows: Rows, device: Device, _: Tensor | None) -> Additions | None:
    entries = ((i, *pair) for i, row in enumerate(rows) for pair in row.params.biases)
    return _additions(entries, device)


def _min_tokens(rows: Rows, device: Device, _: Tensor | None) -> Additions | None:
    return _additions(
        (
            (i, token_id, DROPPED)
            for i, row in enumerate(rows)
            if row.position - row.num_prompt_tokens < row.params.min_tokens
            for token_id in _ending(row)
        ),
        device,
    )


def _ending(row: SamplingRow) -> set[int]:
    """Tokens that would end the request."""
    eos = frozenset[int]() if row.params.ignore_eos else row.eos_token_ids
    return {*row.params.stop_token_ids, *eos}


def _bad_words(rows: Rows, device: Device, token_table: Tensor | None) -> Additions | None:
    """Which tokens stand before is looked up on the device: the newest may be known only there."""
    entries = [
        (i, row, words)
        for i, row in enumerate(rows)
        for words in row.params.bad_words_token_ids
        if row.position - row.num_prompt_tokens >= len(words) - 1  # they are of the output
    ]
    if not entries:
        return None
    indices, last = send(
        [[i for i, _, _ in entries], [words[-1] for _, _, words in entries]], device
    )
    values = torch.full(indices.shape, DROPPED, device=device)
    longest = max(len(words) for _, _, words in entries) - 1
    if longest:
        assert token_table is not None, "words of several tokens look at the tokens so far"
        wanted = [[-1] * (longest + 1 - len(w)) + list(w[:-1]) for _, _, w in entries]
        places = [[row.row, row.position] for _, row, _ in entries]
        packed = torch.stack(send([w + p for w, p in zip(wanted, places, strict=True)], device))
        before, table_rows, ends = packed[:, :longest], packed[:, longest], packed[:, longest + 1]
        columns = ends[:, None] + torch.arange(-longest, 0, device=device)
        said = token_table[table_rows[:, None], columns.clamp(min=0)]
        follows = ((said == before) | (before < 0)).all(dim=1)
        values = values.masked_fill(~follows, 0.0)
    return Additions(indices, last, values)


# -------------------------------------------------------------------------- what alone is allowed


class Allowed(NamedTuple):
    """Rows that may draw from a few tokens alone: entry by entry, which of them may draw what."""

    rows: Int[Tensor, " asking"]
    entries: Int[Tensor, " entries"]
    token_ids: Int[Tensor, " entries"]


def keep(logits: Float[Tensor, "rows vocab"], allowed: Allowed) -> Float[Tensor, "rows vocab"]:
    """Drops every other token of these rows."""
    dropped = logits.new_full((len(allowed.rows), logits.shape[1]), DROPPED)
    dropped[allowed.entries, allowed.token_ids] = 0.0
    return logits.index_add(0, allowed.rows, dropped)


def _allowed(rows: Rows, device: Device, _: Tensor | None) -> Allowed | None:
    asking = {
        i: row.params.allowed_token_ids
        for i, row in enumerate(rows)
        if row.params.allowed_token_ids
    }
    if not asking:
        return None
    counts = [[entry] * len(token_ids) for entry, token_ids in enumerate(asking.values())]
    columns = [list(chain.from_iterable(counts)), list(chain.from_iterable(asking.values()))]
    return Allowed(*send([list(asking), *columns], device))


# ------------------------------------------------------------------------------ a grammar's mask


_SUMMANDS = torch.where((torch.arange(256)[:, None] >> torch.arange(8) & 1).bool(), 0.0, DROPPED)
"""What a byte of a mask adds to its eight logits, float32 [256, 8]."""


def hold(
    logits: Float[Tensor, "rows vocab"], bits: UInt8[Tensor, "rows bytes"]
) -> Float[Tensor, "rows vocab"]:
    """Drops what is not allowed. Bits cross to the device, and are looked up there, by the byte."""
    summands = torch.nn.functional.embedding(bits.int(), _SUMMANDS.to(bits.device))
    return logits + summands.flatten(1)[:, : logits.shape[1]]


def _masks(rows: Rows, device: Device, _: Tensor | None) -> UInt8[Tensor, "rows bytes"] | None:
    """The masks as they came; a row without a grammar may draw anything."""
    length = max((len(row.mask) for row in rows if row.mask is not None), default=None)
    if length is None:
        return None
    anything = b"\xff" * length
    packed = b"".join(anything if row.mask is None else row.mask for row in rows)
    bits = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
    if torch.device(device).type == "cuda":
        bits = bits.pin_memory()
    return bits.view(len(rows), length).to(device, non_blocking=True)


# ------------------------------------------------------------------------------------- penalties


@dataclass(frozen=True, slots=True)
class Penalties:
    """The three penalties and the tokens that they look at.

    Attributes:
        repetition: Factor for tokens in prompt or output, float32 [rows].
        presence: Subtracted once from tokens in the output, float32 [rows].
        frequency: Subtracted per occurrence in the output, float32 [rows].
        token_ids: Each row's sequence; entries past its end are ignored.
        is_prompt: Which entries are prompt.
        is_output: Which entries are output.
    """

    repetition: Float[Tensor, " rows"]
    presence: Float[Tensor, " rows"]
    frequency: Float[Tensor, " rows"]
    token_ids: Int[Tensor, "rows length"]
    is_prompt: Bool[Tensor, "rows length"]
    is_output: Bool[Tensor, "rows length"]


def apply_penalties(
    logits: Float[Tensor, "rows vocab"], penalties: Penalties
) -> Float[Tensor, "rows vocab"]:
    """The stages that look at the tokens so far."""
    vocab_size = logits.shape[1]
    in_prompt = stages.token_counts(penalties.token_ids, penalties.is_prompt, vocab_size)
    in_output = stages.token_counts(penalties.token_ids, penalties.is_output, vocab_size)
    is_seen = (in_prompt + in_output) > 0
    logits = stages.apply_repetition_penalty(logits, penalties.repetition, is_seen)
    logits = stages.apply_frequency_penalty(logits, penalties.frequency, in_output)
    return stages.apply_presence_penalty(logits, penalties.presence, in_output)


def _penalties(rows: Rows, _: Device, token_table: Tensor | None) -> Penalties | None:
    """Options and histories of all rows; a row without penalties gets neutral ones."""
    if not any(row.params.has_penalty for row in rows):
        return None
    assert token_table is not None, "penalties look at the tokens so far"
    device = token_table.device
    table_rows, ends, prompt_ends = send(
        [
            [row.row for row in rows],
            [row.position for row in rows],
            [min(row.num_prompt_tokens, row.position) for row in rows],
        ],
        device,
    )
    repetition, presence, frequency = send(
        [
            [row.params.repetition_penalty for row in rows],
            [row.params.presence_penalty for row in rows],
            [row.params.frequency_penalty for row in rows],
        ],
        device,
        np.float32,
    )
    length = max(row.position for row in rows)
    column = torch.arange(length, device=device)
    is_prompt = column < prompt_ends[:, None]
    is_output = (column < ends[:, None]) & ~is_prompt
    token_ids = token_table[table_rows, :length]
    return Penalties(repetition, presence, frequency, token_ids, is_prompt, is_output)


STAGES = (
    SamplingStage("grammar", _masks, hold),
    SamplingStage("allowed_token_ids", _allowed, keep),
    SamplingStage("bad_words", _bad_words, add),
    SamplingStage("min_tokens", _min_tokens, add),
    SamplingStage("logit_bias", _logit_bias, add),
    SamplingStage("penalties", _penalties, apply_penalties),
)
"""In the order in which they are applied."""
