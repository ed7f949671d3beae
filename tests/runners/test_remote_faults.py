"""A wire that breaks in any way, and a host that is slow, old, or none: one typed error each."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.schedule.ngram_proposer import NgramProposer
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, DeviceLostError
from nanovllm_edu.limits import config_for
from nanovllm_edu.runners import remote
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.runners.remote import RemoteRunner
from nanovllm_edu.serve import model_host
from nanovllm_edu.wire.messages import (
    VERSION,
    decode_output,
    encode,
    encode_output,
    encode_plan,
)
from tests.engine.engines import LONG, add_all, collect, finish, right_tokens
from tests.runners.hosts import hosting, port_of
from tests.runners.test_remote import far_engine, records_until_lost
from tests.runners.wires import DOWN, UP, Wire


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("way", [UP, DOWN], ids=["up", "down"])
def test_a_wire_that_is_cut_after_any_byte_costs_no_token(way: int, depth: int) -> None:
    """Before a plan, in the middle of one, behind it; before its output, and in the middle."""
    chance = random.Random(3 * way + depth)
    with hosting() as host, Wire(port_of(host)) as wire, far_engine(wire.url) as llm:
        for _ in range(8):
            seq_ids = add_all(llm)
            records = [llm.step() for _ in range(chance.randrange(4))]
            wire.left[way] = chance.randrange(1, 120)
            records += records_until_lost(llm, depth)
            wire.left = [None, None]
            assert collect(records + finish(llm, depth), seq_ids) == right_tokens()


def test_a_wire_that_goes_silent_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says that a cable is out. The host finds it out by itself, too."""
    for module in (remote, model_host):
        monkeypatch.setattr(module, "PING_SECONDS", 0.15)
    with hosting() as host, Wire(port_of(host)) as wire, far_engine(wire.url) as llm:
        seq_ids = add_all(llm)
        records = [llm.step()]
        wire.is_silent = True
        records += records_until_lost(llm, 1)
        wire.is_silent = False
        assert collect(records + finish(llm, 1), seq_ids) == right_tokens()


def test_an_interrupt_in_the_middle_of_a_plan_ends_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the host would wait for the other half, and take the next plan for it."""
    with hosting() as host, far_engine(host.url) as llm:
        seq_ids = add_all(llm)
        records = [llm.step()]
        runner: Any = llm.runner
        connection = runner._session._connection

        def half_sent(data: bytes) -> None:
            connection.socket.sendall(b"\x82\xfe\xff\xff....")  # a frame of 65,535 bytes begins
            raise KeyboardInterrupt

        monkeypatch.setattr(connection, "send", half_sent)
        with pytest.raises(KeyboardInterrupt):
            llm.step()
        runner._session._thread.join(5)
        assert not runner._session._thread.is_alive()
        records += records_until_lost(llm, 0)
        assert collect(records + finish(llm), seq_ids) == right_tokens()


def test_who_comes_back_waits_until_another_engine_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_host, "HANDOVER_SECONDS", 0.1)
    with hosting() as host, Wire(port_of(host)) as wire, far_engine(wire.url) as llm:
        seq_ids = add_all(llm)
        records = [llm.step()]
        wire.cut()
        records += records_until_lost(llm, 1)
        with far_engine(host.url) as other:
            other_ids = add_all(other)
            with pytest.raises(DeviceLostError, match="another engine has the model"):
                llm.step()
            assert list(llm.scheduler.waiting) == seq_ids
            assert collect(finish(other, 1), other_ids) == right_tokens()
        monkeypatch.undo()
        assert collect(records + finish(llm, 1), seq_ids) == right_tokens()


@pytest.mark.parametrize("is_in_pieces", [False, True], ids=["whole", "in pieces"])
def test_an_output_is_taken_in_by_who_reads_it_unless_it_comes_in_pieces(
    is_in_pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may cut a message; then the thread that waits for all else puts it together."""
    readers: set[bool] = set()

    def read(data: bytes) -> tuple[int, StepOutput]:
        readers.add(threading.current_thread().name == "nanovllm-edu remote")
        return decode_output(data)

    def in_pieces(step_id: int, output: StepOutput) -> list[bytes]:
        data = encode_output(step_id, output)
        return [data[:1], data[1:7], data[7:]]

    monkeypatch.setattr(remote, "decode_output", read)
    if is_in_pieces:
        monkeypatch.setattr(model_host, "encode_output", in_pieces)
    with hosting() as host, far_engine(host.url) as llm:
        seq_ids = add_all(llm)
        assert collect(finish(llm, 1), seq_ids) == right_tokens()
    assert readers == {is_in_pieces}


# ------------------------------------------------------------------------------ other hosts


class UnaskedTicket:
    """As of a GPU: it cannot say whether it is done."""

    def __init__(self, ticket: Any) -> None:
        self._ticket = ticket

    def wait(self) -> StepOutput:
        return self._ticket.wait()


class UnaskedRunner(ChecksumRunner):
    """Every third of its tickets is none that can be asked."""

    num_launches = 0

    def launch(self, plan: StepPlan) -> Any:
        self.num_launches += 1
        ticket = super().launch(plan)
        return UnaskedTicket(ticket) if self.num_launches % 3 else ticket


def test_outputs_are_sent_by_who_launches_or_by_who_waits() -> None:
    with hosting(UnaskedRunner(32, 4)) as host, far_engine(host.url) as llm:
        seq_ids = add_all(llm, params=LONG)
        assert collect(finish(llm, 2), seq_ids) == right_tokens(params=LONG)


@contextmanager
def saying(*messages: bytes) -> Iterator[str]:
    """The address of a host that says the first of these, and each other one when it is told."""

    def answer(connection: ServerConnection) -> None:
        left = list(messages)
        while True:
            if left:
                connection.send(left.pop(0))
            try:
                connection.recv()
            except ConnectionClosed:
                return

    with serve(answer, "127.0.0.1", 0, close_timeout=0.1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "said, error",
    [
        ((bytes((VERSION + 1,)),), f"sent version {VERSION + 1}, and this one reads version"),
        ((encode_plan(StepPlan(0)),), "a Plan came where a Hello was due"),
        ((b"",), "the other side sent nothing"),
        ((), "timed out in 0.2s"),
    ],
    ids=["another version", "no hello", "nothing", "silence"],
)
def test_who_does_not_say_what_the_model_is_is_no_host(said: Any, error: str) -> None:
    with saying(*said) as url, pytest.raises(DeviceLostError, match=error):
        RemoteRunner(url, connect_seconds=0.2)


def test_a_host_that_answers_pings_and_never_ends_a_step_is_given_up() -> None:
    with hosting() as host:
        hello = encode(host._hello)
    with saying(hello) as url:
        runner = RemoteRunner(url, step_seconds=0.2)
        llm = LLMEngine(runner, config_for(runner, {}))
        llm.add_request([1, 2, 3])
        with pytest.raises(DeviceLostError, match=r"no output within step_seconds=0\.2: it hangs"):
            llm.step()
        llm.scheduler.check_invariants()
        assert list(llm.scheduler.waiting) == [0]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "3", None, True])
@pytest.mark.parametrize("name", ["connect_seconds", "step_seconds"])
def test_a_time_that_is_none_is_refused(name: str, seconds: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name}=.* is not a number of seconds above 0"):
        RemoteRunner("ws://127.0.0.1:9", **{name: seconds})


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"what?\r\n\r\n", b""])
def test_another_server_is_no_host(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_once, args=(listener, answer))
        thread.start()
        with pytest.raises(DeviceLostError, match="no runner answers at"):
            RemoteRunner(f"ws://127.0.0.1:{listener.getsockname()[1]}", connect_seconds=2)
        thread.join()


def _answer_once(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(2**16)
        connection.sendall(answer)


@pytest.mark.parametrize(
    "tokens, error",
    [
        ({}, "sequence 0 got 0 tokens"),
        ({0: (5, 6)}, "sequence 0 got 2 tokens in a step that had 0 guesses"),
        ({0: (10**6,)}, r"sequence 0 got \(1000000,\), and the model has"),
    ],
    ids=["none", "too many", "unknown"],
)
def test_an_output_that_cannot_be_ends_the_session(tokens: Any, error: str) -> None:
    with hosting() as host:
        hello = encode(host._hello)
    with saying(hello, encode_output(0, StepOutput(tokens))) as url, far_engine(url) as llm:
        llm.add_request([1, 2, 3])
        with pytest.raises(DeviceLostError, match=error):
            llm.step()
        llm.scheduler.check_invariants()
        assert list(llm.scheduler.waiting) == [0]


def test_guesses_that_come_true_are_no_surplus() -> None:
    with hosting() as host, far_engine(host.url, draft_proposer=NgramProposer(3)) as llm:
        prompts = [[5, 6, 7, 8] * 4]
        seq_ids = add_all(llm, prompts, LONG)
        assert collect(finish(llm), seq_ids) == right_tokens(prompts, LONG)
