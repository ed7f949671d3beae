"""`StepPlan` and `StepOutput` as bytes, and back: typed, versioned, bounded.

    first byte    VERSION of this format
    the rest      MessagePack: a list whose first item says which message it is

Only what a device reads is sent. A plan's `events` and `blocked` are for people, who are on this
side, so they stay here. The recording's format (`introspect/codec.py`) is another one for the same
reason: a reader of it derives rows and blocks from the steps before, while a device is told them.

Whatever arrives may come from anybody. Bytes that are too many, of another version, or not of the
declared types are refused before anything is made of them; nothing is ever executed, as a pickle
would be. Read next: `wire/bounds.py`, where what the numbers mean is checked.
"""

from array import array
from typing import Annotated, Any, Self, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from nanovllm_edu.core.model_runner import ModelRunner
from nanovllm_edu.core.plan import (
    BlockCopy,
    BlockUpdate,
    Joined,
    RowMasks,
    SamplingUpdate,
    Spans,
    StepOutput,
    StepPlan,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import TOKEN_TYPE, TokenLogprobs
from nanovllm_edu.errors import ConfigError, WireError

VERSION = 3
"""Of the format: both sides must have the same. It grows with every change of a message."""

MAX_BYTES = 2**26
"""The longest message. A plan of a thousand prompts of 10,000 tokens has half of it."""

Count = Annotated[int, Meta(ge=0, lt=2**31)]
Counts = tuple[Count, ...]
Seed = Annotated[int, Meta(ge=0)]
Options = dict[str, Any]
"""Of `SamplingParams`, which checks them: those that differ from their defaults."""
Columns = tuple[
    Counts, Counts, Counts, Counts, tuple[Counts, ...], Counts, tuple[bool, ...]
]  # fmt: skip
"""Those of `Spans`."""


class Message(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=str.lower):
    """Whatever is sent, either way. The name of its class comes first."""


class Plan(Message, frozen=True):
    """A `StepPlan`, as far as a device reads it."""

    step_id: Count
    spans: Columns
    joined: tuple[tuple[Count, Count, Counts, Count, Options, Seed], ...]
    left: Counts
    sampling_updates: tuple[tuple[Count, Count, Options], ...]
    block_updates: tuple[BlockUpdate, ...]
    copies: tuple[BlockCopy, ...]
    masks: tuple[RowMasks, ...]


class Output(Message, frozen=True):
    """A `StepOutput`, and of which step it is."""

    step_id: Count
    tokens: dict[int, Counts]
    logprobs: dict[int, tuple[TokenLogprobs, ...]]
    errors: dict[int, str]
    timings: dict[str, float]
    rank_timings: tuple[dict[str, float], ...]


class Hello(Message, frozen=True):
    """The first word of whoever has the model: what an engine must know of it.

    Attributes:
        model: What was loaded, in words.
        num_blocks: Blocks in its KV cache.
        block_size: Token slots in a block.
        vocab_size: Token ids are in [0, vocab_size).
        max_model_len: Positions it accepts.
        max_num_seqs: Rows of its tables.
        max_num_batched_tokens: Tokens that one step may hold.
        prefill_chunk_size: Tokens of prompts in a step in which somebody decodes, where nobody asks
            for another number; None: as many as fit.
        eos_token_ids: Tokens by which the model ends.
        choices: What was chosen there at start: option -> (value, why).
    """

    model: str
    num_blocks: Count
    block_size: Count
    vocab_size: Count
    max_model_len: Count
    max_num_seqs: Count
    max_num_batched_tokens: Count
    prefill_chunk_size: Count | None
    eos_token_ids: Counts
    choices: dict[str, tuple[str, str]]

    @classmethod
    def of(
        cls,
        runner: ModelRunner,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        prefill_chunk_size: int | None,
        choices: dict[str, tuple[str, str]],
    ) -> Self:
        """Of a runner that made room for so large steps."""
        return cls(
            model=" ".join(choices.get("model", (type(runner).__name__,))),
            num_blocks=runner.num_blocks,
            block_size=runner.block_size,
            vocab_size=runner.vocab_size,
            max_model_len=runner.max_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            prefill_chunk_size=prefill_chunk_size,
            eos_token_ids=tuple(sorted(runner.eos_token_ids)),
            choices=choices,
        )

    @property
    def shape(self) -> tuple[object, ...]:
        """What must be the same after a reconnect: all but the reasons."""
        return msgspec.structs.astuple(self)[:-1]


class Turn(Message, frozen=True):
    """To a rank: the plans that follow are for its runner with this number."""

    number: Count


class Fork(Message, frozen=True):
    """To a rank: make one more runner, with a copy of a cache or a blank other one."""

    number: Count
    parent: Count
    num_blocks: Count | None
    block_size: Count | None


class Drop(Message, frozen=True):
    """To a rank: nobody uses this runner any more."""

    number: Count


class Failure(Message, frozen=True):
    """The last word: what went wrong over there."""

    text: str


M = TypeVar("M", bound=Message)


def _as_list(value: Any) -> Any:
    """Tokens may be an array, which MessagePack does not know."""
    if isinstance(value, array):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be sent")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_as_list)
_DECODER = msgspec.msgpack.Decoder(Plan | Output | Hello | Failure | Turn | Fork | Drop)


def encode(message: Message) -> bytes:
    """A message as bytes.

    Raises:
        WireError: It is longer than `MAX_BYTES`.
    """
    data = bytearray((VERSION,))
    _ENCODER.encode_into(message, data, 1)
    if len(data) > MAX_BYTES:
        raise _too_long(len(data))
    return bytes(data)


def decode(data: bytes, kind: type[M]) -> M:
    """The message in these bytes.

    Raises:
        WireError: They are too many, truncated, of another version, or no such message. Or they
            hold a `Failure`, whose text is then the error's.
    """
    if len(data) > MAX_BYTES:
        raise _too_long(len(data))
    if data[:1] != bytes((VERSION,)):
        found = f"version {data[0]}" if data else "nothing"
        raise WireError(
            f"the other side sent {found}, and this one reads version {VERSION} of the messages; "
            "install the same nanovllm-edu on both."
        )
    try:
        message = _DECODER.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"a message of {len(data)} bytes is damaged: {error!s:.300}") from error
    if isinstance(message, Failure):
        raise WireError(message.text)
    if not isinstance(message, kind):
        raise WireError(
            f"a {type(message).__name__} came where a {kind.__name__} was due; connect anew."
        )
    return message


def _too_long(length: int) -> WireError:
    return WireError(
        f"a message has {length} bytes, and MAX_BYTES={MAX_BYTES}; make smaller steps "
        "(max_num_batched_tokens, max_num_seqs)."
    )


# ------------------------------------------------------------------------- plans and outputs


def encode_plan(plan: StepPlan) -> bytes:
    """What a device reads of a plan, as bytes."""
    return encode(
        Plan(
            plan.step_id,
            cast(Columns, plan.spans.columns),
            tuple((*new[:2], tuple(new.token_ids), new[3], _options(new.sampling), new.seed)
                  for new in plan.joined),
            plan.left,
            tuple((new.seq_id, new.row, _options(new.sampling)) for new in plan.sampling_updates),
            plan.block_updates,
            plan.copies,
            plan.masks,
        )
    )  # fmt: skip


def decode_plan(data: bytes) -> StepPlan:
    """The plan behind `encode_plan`, without `events` and `blocked`.

    Raises:
        WireError: As in `decode`; or its columns are not equally long, or a sampling option is
            refused.
    """
    return plan_of(decode(data, Plan))


def plan_of(message: Plan) -> StepPlan:
    """The plan in a message.

    Raises:
        WireError: Its columns are not equally long, or a sampling option is refused.
    """
    if len(set(map(len, message.spans))) != 1:
        raise WireError("a plan is damaged: its spans have columns of different lengths.")
    return StepPlan(
        message.step_id,
        Spans(zip(*message.spans, strict=True)),
        tuple(
            Joined(seq_id, row, array(TOKEN_TYPE, token_ids), num, _params(options), seed)
            for seq_id, row, token_ids, num, options, seed in message.joined
        ),
        message.left,
        tuple(
            SamplingUpdate(seq_id, row, _params(options))
            for seq_id, row, options in message.sampling_updates
        ),
        message.block_updates,
        message.copies,
        masks=message.masks,
    )


def _options(params: SamplingParams) -> Options:
    return {k: v for k, v in params.to_dict().items() if v != _DEFAULTS.get(k)}


def _params(options: Options) -> SamplingParams:
    try:
        return SamplingParams(**options)
    except (ConfigError, TypeError) as error:
        raise WireError(f"a plan is damaged: {error!s:.300}") from error


_DEFAULTS = SamplingParams().to_dict()


def encode_output(step_id: int, output: StepOutput) -> bytes:
    """What came out of a step, as bytes."""
    columns = dict(output.tokens), dict(output.logprobs), dict(output.errors)
    ranks = tuple(map(dict, output.rank_timings))
    return encode(Output(step_id, *columns, dict(output.timings), ranks))


def decode_output(data: bytes) -> tuple[int, StepOutput]:
    """The step, and its output, behind `encode_output`.

    Raises:
        WireError: As in `decode`.
    """
    message = decode(data, Output)
    return message.step_id, StepOutput(*msgspec.structs.astuple(message)[1:])
