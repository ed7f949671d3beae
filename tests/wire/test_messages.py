"""Whatever is planned arrives as it was; whatever is not a message is refused by name."""

import struct
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanovllm_edu.core.plan import Blocked, SamplingUpdate, Span, Spans, StepOutput, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import WireError
from nanovllm_edu.runners.checksum import ChecksumRunner, ReadyTicket
from nanovllm_edu.wire import messages
from nanovllm_edu.wire.messages import (
    VERSION,
    Failure,
    Hello,
    decode,
    decode_output,
    decode_plan,
    encode,
    encode_output,
    encode_plan,
)
from tests.engine.engines import LONG, add_all, collect, engine, finish, right_tokens
from tests.wire.plans import counts, outputs, plans

PLAN = StepPlan(3, Spans([Span(1, 0, 4, 1), Span(2, 1, 0, 3, (7, 8, 9), 2)]), left=(4,))


@given(plans)
def test_a_plan_arrives_as_it_was(plan: StepPlan) -> None:
    arrived = decode_plan(encode_plan(plan))
    assert arrived == plan
    assert arrived.masks == plan.masks  # which a comparison of plans passes over


def test_everything_but_the_reasons_is_sent() -> None:
    """A field that is new in a plan must be new in the message, and in its VERSION."""
    sent = {field.name for field in msgspec.structs.fields(messages.Plan)}
    assert sent == {field.name for field in fields(StepPlan)} - {"events", "blocked"}
    sent = {field.name for field in msgspec.structs.fields(messages.Output)}
    assert sent == {field.name for field in fields(StepOutput)} | {"step_id"}


@given(counts, outputs)
def test_an_output_arrives_as_it_was(step_id: int, output: StepOutput) -> None:
    assert decode_output(encode_output(step_id, output)) == (step_id, output)


def test_reasons_stay_with_who_reads_them() -> None:
    blocked = Blocked(1, "rows", 1, 0, "no row is free")
    assert decode_plan(encode_plan(replace(PLAN, blocked=blocked))) == PLAN


def test_a_decode_step_is_small() -> None:
    """Facts are said once: a step of 64 sequences that go on says little else than that."""
    spans = Spans(Span(1000 + i, i, 500 + i, 1) for i in range(64))
    assert len(encode_plan(StepPlan(70_000, spans))) < 64 * 16


@given(plans, st.data())
def test_bytes_that_were_cut_off_are_refused(plan: StepPlan, data: st.DataObject) -> None:
    whole = encode_plan(plan)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(WireError):
        decode_plan(whole[:cut])


@given(plans, st.data())
def test_any_bytes_give_a_plan_or_the_typed_error(plan: StepPlan, data: st.DataObject) -> None:
    spoilt = bytearray(encode_plan(plan))
    for at in data.draw(st.lists(st.integers(0, len(spoilt) - 1), min_size=1, max_size=4)):
        spoilt[at] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        assert isinstance(decode_plan(bytes(spoilt)), StepPlan)


@pytest.mark.parametrize(
    "data, why",
    [
        (b"", "sent nothing"),
        (
            bytes([VERSION + 1]) + encode_plan(PLAN)[1:],
            f"version {VERSION + 1}, and this one reads",
        ),
        (b"HTTP/1.1 400 Bad Request", "version 72"),
        (bytes([VERSION]), "damaged"),
        (bytes([VERSION, 0xC1]), "damaged"),
        (encode_plan(PLAN) + b"\0", "damaged"),
        (bytes([VERSION]) + b"\x91" * 100_000, "damaged"),  # lists in lists
        (
            bytes([VERSION]) + b"\x99\xa4plan\0\x97\xdd\x7f\xff\xff\xff",
            "damaged",
        ),  # says 2**31 items
        (encode_output(1, StepOutput({})), "a Output came where a Plan was due"),
        (encode(Failure("the device is on fire")), "the device is on fire"),
    ],
)
def test_what_is_no_plan_is_refused_by_name(data: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        decode_plan(data)


def test_a_list_that_is_longer_or_has_other_types_is_refused() -> None:
    hello = Hello("m", 1, 2, 3, 4, 5, 6, 7, (8,), {})
    assert decode(encode(hello), Hello) == hello
    assert hello.shape == ("m", 1, 2, 3, 4, 5, 6, 7, (8,))
    as_if: Any = Hello("m", -1, 2, 3, 4, 5, 6, 7, (8,), {})
    with pytest.raises(WireError, match=r"Expected `int` >= 0"):
        decode(encode(as_if), Hello)
    as_if = replace(PLAN, left=("row",))
    with pytest.raises(WireError, match="Expected `int`"):
        decode_plan(encode_plan(as_if))


def test_columns_of_different_lengths_are_no_spans() -> None:
    broken = Spans([Span(1, 0, 4, 1), Span(2, 1, 0, 3)])
    broken.columns = (*broken.columns[:6], (True,))
    with pytest.raises(WireError, match="columns of different lengths"):
        decode_plan(encode_plan(StepPlan(0, broken)))


def test_what_is_too_long_is_neither_sent_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_plan(PLAN)
    monkeypatch.setattr(messages, "MAX_BYTES", len(data))
    assert decode_plan(data) == PLAN
    monkeypatch.setattr(messages, "MAX_BYTES", len(data) - 1)
    for refused in (lambda: encode_plan(PLAN), lambda: decode_plan(data)):
        with pytest.raises(WireError, match=f"has {len(data)} bytes, and MAX_BYTES"):
            refused()


def test_sampling_parameters_are_checked_as_everywhere() -> None:
    params = SamplingParams(temperature=0.5)
    data = encode_plan(replace(PLAN, sampling_updates=(SamplingUpdate(1, 0, params),)))
    assert decode_plan(data).sampling_updates[0].sampling == params
    half, below = struct.pack(">d", 0.5), struct.pack(">d", -0.5)
    assert data.count(half) == 1
    with pytest.raises(WireError, match=r"temperature=-0\.5 is not in"):
        decode_plan(data.replace(half, below))


class OverBytes(ChecksumRunner):
    """Sees nothing but what bytes can hold."""

    def launch(self, plan: StepPlan) -> ReadyTicket:
        ticket = super().launch(decode_plan(encode_plan(plan)))
        step_id, output = decode_output(encode_output(plan.step_id, ticket.output))
        assert step_id == plan.step_id
        return ReadyTicket(output)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("num_blocks", [32, 14])
def test_an_engine_needs_no_more_than_the_bytes(num_blocks: int, depth: int) -> None:
    llm = engine(OverBytes(num_blocks, 4), num_blocks=num_blocks)
    params = replace(LONG, max_tokens=20)
    seq_ids = add_all(llm, params=params)
    assert collect(finish(llm, depth), seq_ids) == right_tokens(params=params)
