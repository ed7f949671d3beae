"""An engine whose model is elsewhere: the same tokens, whatever happens to the wire."""

import random
import socket
import threading
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import BlockUpdate, StepOutput, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.ngram_proposer import NgramProposer
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import (
    ConfigError,
    DeviceLostError,
    EngineClosedError,
    NanoVLLMError,
    RequestError,
)
from nanovllm_edu.limits import config_for
from nanovllm_edu.llm import LLM
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens
from nanovllm_edu.runners.remote import RemoteRunner, RemoteTicket
from nanovllm_edu.serve import model_host
from nanovllm_edu.serve.model_host import ModelHost
from nanovllm_edu.wire.messages import Hello, decode, encode_plan
from tests.engine.engines import LONG, add_all, collect, finish, right_tokens
from tests.engine.faulty_runner import FaultyRunner
from tests.engine.slow_runner import SlowRunner
from tests.runners.hosts import HostProcess, hosting, port_of


def far_engine(url: str, **options: Any) -> LLMEngine:
    """An engine here of a model there."""
    runner = RemoteRunner(url)
    return LLMEngine(runner, config_for(runner, options))


def records_until_lost(llm: LLMEngine, depth: int) -> list[StepRecord]:
    records: list[StepRecord] = []
    with pytest.raises(DeviceLostError):
        records.extend(llm.run(depth))
    llm.scheduler.check_invariants()
    assert not llm.scheduler.running
    assert all(block.state == "free" for block in llm.state().blocks)
    return records


# --------------------------------------------------------------------------------- the same


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("num_blocks", [32, 14])
def test_tokens_are_those_of_a_model_that_is_here(depth: int, num_blocks: int) -> None:
    with hosting(num_blocks=num_blocks) as host, far_engine(host.url) as llm:
        seq_ids = add_all(llm, params=LONG)
        assert collect(finish(llm, depth), seq_ids) == right_tokens(params=LONG)
        assert llm.runner.num_blocks == num_blocks
        assert llm.config.block_size == 4


def test_guesses_and_chunks_go_over_the_wire_too() -> None:
    options = {"draft_proposer": NgramProposer(3), "max_num_batched_tokens": 7}
    with hosting() as host, far_engine(host.url, **options) as llm:
        seq_ids = add_all(llm, params=LONG)
        assert collect(finish(llm), seq_ids) == right_tokens(params=LONG)


def test_the_next_plan_is_sent_while_the_model_works_on_this_one() -> None:
    runner = SlowRunner(32, 4)
    runner.leave.release()  # to forget what was before
    with hosting(runner) as host, far_engine(host.url) as llm:
        seq_ids = add_all(llm)
        done: list[StepRecord] = []
        thread = threading.Thread(target=lambda: done.extend(llm.run(1)))
        thread.start()
        while llm.num_steps_in_flight < 2:  # the first one waits for leave, over there
            thread.join(0.001)
        assert not done
        assert runner.num_launches <= 2  # the one that forgets what was before, and the first
        runner.leave.release(1000)
        thread.join()
        assert collect(done, seq_ids) == right_tokens()


def test_the_next_engine_finds_nothing_of_the_one_before() -> None:
    with hosting() as host:
        for _ in range(2):
            with far_engine(host.url) as llm:
                add_all(llm)
                llm.step()
        runner = host._runner
        assert isinstance(runner, ChecksumRunner)
        with far_engine(host.url):
            assert not runner._rows


# --------------------------------------------------------------------------------- the wire


def close_all(host: ModelHost) -> None:
    """Cuts the wire, as a router that forgets would."""
    for connection in host._server.connections:
        connection.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_whenever_the_wire_is_cut_the_same_tokens_come(depth: int) -> None:
    with hosting() as host, far_engine(host.url) as llm:
        chance = random.Random(depth)
        for _ in range(4):
            seq_ids = add_all(llm)
            records = [llm.step() for _ in range(chance.randrange(5))]
            close_all(host)
            records += records_until_lost(llm, depth)
            assert list(llm.scheduler.waiting) == seq_ids
            assert collect(records + finish(llm, depth), seq_ids) == right_tokens()


def test_a_wire_that_is_cut_while_nobody_steps_is_told_once() -> None:
    """The blocks that could be found are gone, so a new request must not find them."""
    with hosting() as host, far_engine(host.url) as llm:
        for depth in (0, 1):
            add_all(llm)
            finish(llm)
            assert any(block.state == "cached" for block in llm.state().blocks)
            close_all(host)
            seq_ids = add_all(llm)
            records_until_lost(llm, depth)
            assert collect(finish(llm, depth), seq_ids) == right_tokens()


def test_a_process_that_is_killed_at_any_step_costs_no_token() -> None:
    host, chance = HostProcess(), random.Random(0)
    with far_engine(host.url) as llm:
        for depth in (0, 1, 2):
            seq_ids = add_all(llm, params=LONG)
            records = [llm.step() for _ in range(chance.randrange(30))]
            delay = chance.random() / 1000  # somewhere in the next step or two
            killer = threading.Timer(delay, host.process.kill)
            killer.start()
            records += records_until_lost(llm, depth)
            host.kill()
            host = HostProcess(host.port)
            assert collect(records + finish(llm, depth), seq_ids) == right_tokens(params=LONG)
    host.kill()


def test_while_nothing_answers_requests_wait() -> None:
    with hosting() as host:
        llm, port = far_engine(host.url), port_of(host)
        seq_ids = add_all(llm)
        records = [llm.step()]
    records_until_lost(llm, 1)
    for _ in range(2):
        with pytest.raises(DeviceLostError, match="no runner answers at ws://127"):
            llm.step()
        assert list(llm.scheduler.waiting) == seq_ids
    with hosting(port=port):
        assert collect(records + finish(llm, 1), seq_ids) == right_tokens()
        llm.close()


def test_another_model_at_the_same_address_is_refused() -> None:
    with hosting() as host:
        llm, port = far_engine(host.url), port_of(host)
        add_all(llm)
        llm.step()
    records_until_lost(llm, 0)
    with hosting(num_blocks=16, port=port):
        with pytest.raises(DeviceLostError, match="another model answers"):
            llm.step()
        llm.close()


@pytest.mark.parametrize("where", ["in_launch", "in_wait"])
@pytest.mark.parametrize("depth", [0, 2])
def test_a_device_that_fails_over_there_says_why_here(where: str, depth: int) -> None:
    runner = FaultyRunner(32, 4)
    with hosting(runner) as host, far_engine(host.url) as llm:
        seq_ids = add_all(llm)
        records = [llm.step()]
        runner.fail(**{where: [1]})
        with pytest.raises(DeviceLostError, match="DeviceFailure: the device failed"):
            records.extend(llm.run(depth))
        assert collect(records + finish(llm, depth), seq_ids) == right_tokens()


def test_a_plan_that_names_what_is_not_there_never_reaches_the_device() -> None:
    with hosting() as host:
        runner = RemoteRunner(host.url)
        plan = StepPlan(0, block_updates=(BlockUpdate(0, 0, 0, (10**6,)),))
        with pytest.raises(DeviceLostError, match="names 1000000, and the device has 32 blocks"):
            runner.launch(plan).wait()
        runner.close()


def test_an_answer_that_nobody_awaits_is_passed_over() -> None:
    """An interrupted launch counts as none, and may have been sent all the same."""
    with hosting() as host, far_engine(host.url) as llm:
        seq_ids = add_all(llm)
        runner = llm.runner
        assert isinstance(runner, RemoteRunner) and runner._session is not None
        runner._session._connection.send(encode_plan(StepPlan(10**6)))
        assert collect(finish(llm, 1), seq_ids) == right_tokens()


# -------------------------------------------------------------------------------- who may


def test_a_key_is_asked_for() -> None:
    with hosting(keys=("first", "second")) as host:
        for wrong in (None, "third", "Bearer", "é"):
            with pytest.raises(DeviceLostError, match="HTTP 401"):
                RemoteRunner(host.url, api_key=wrong)
        RemoteRunner(host.url, api_key="second").close()
        health = httpx.get(host.url.replace("ws", "http") + "/health", trust_env=False)
        assert (health.status_code, health.text) == (200, "ok\n")


def test_no_page_in_a_browser_reaches_it() -> None:
    with hosting() as host, pytest.raises(InvalidStatus, match="403"):
        connect(host.url, origin="http://127.0.0.1:1", proxy=None)  # type: ignore[arg-type]


def test_one_engine_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_host, "HANDOVER_SECONDS", 0.1)
    with hosting() as host:
        first = RemoteRunner(host.url)
        with pytest.raises(DeviceLostError, match="another engine has the model"):
            RemoteRunner(host.url)
        first.close()
        monkeypatch.undo()
        RemoteRunner(host.url).close()


@pytest.mark.parametrize("data", ["text", b"", b"\x01\xc1", b"\x09"])
def test_a_stranger_is_told_what_is_wrong_and_the_host_goes_on(data: str | bytes) -> None:
    with hosting() as host:
        with connect(host.url, proxy=None) as stranger:
            decode(stranger.recv(decode=False), Hello)
            stranger.send(data)
            with pytest.raises(NanoVLLMError, match="WireError"):
                decode(stranger.recv(decode=False), Hello)
        far_engine(host.url).close()


# ------------------------------------------------------------------------------- the engine


def test_a_fork_is_refused_with_the_remedy() -> None:
    with hosting() as host, far_engine(host.url) as llm:
        for changes in ({}, {"block_size": 8}):
            with pytest.raises(RequestError, match="fork an engine whose model is here"):
                llm.fork(**changes)


def test_a_closed_runner_says_so() -> None:
    with hosting() as host:
        runner = RemoteRunner(host.url)
        runner.close()
        runner.close()
        with pytest.raises(EngineClosedError):
            runner.launch(StepPlan(0))


WRONG = ["", "127.0.0.1:8001", "http://127.0.0.1", "ws://", "ftp://a"]
WRONG += ["ws://127.0.0.1:99999", "ws://127.0.0.1:0", "ws://127.0.0.1:port", "ws://[::1"]


@pytest.mark.parametrize("url", [*WRONG, None, 8001])
def test_what_is_no_address_is_refused(url: Any) -> None:
    with pytest.raises(ConfigError, match="ws://HOST:PORT"):
        RemoteRunner(url)


def test_what_the_other_side_has_cannot_be_asked_for_differently() -> None:
    with hosting(max_num_seqs=3, prefill_chunk_size=9) as host:
        runner = RemoteRunner(host.url)
        assert config_for(runner, {}).max_num_seqs == 3
        assert config_for(runner, {}).prefill_chunk_size == 9
        assert config_for(runner, {"prefill_chunk_size": 5}).prefill_chunk_size == 5
        assert config_for(runner, {"max_num_seqs": 2, "num_blocks": 32}).max_num_seqs == 2
        others = {"block_size": 8, "num_blocks": 31, "dtype": "float16", "tensor_parallel_size": 2}
        for name, value in others.items():
            with pytest.raises(ConfigError, match=f"{name}=.* leave it out"):
                config_for(runner, {name: value})
        with pytest.raises(ConfigError, match=r"max_num_seqs=64, and .* has room for 3; lower it"):
            LLMEngine(runner, EngineConfig(block_size=4))
        runner.close()


def test_an_interrupt_while_an_output_is_awaited_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is taken off the wire by who waits, so the next one who waits finds it all."""
    with hosting() as host, far_engine(host.url) as llm:
        seq_ids = add_all(llm)
        records, wait = [], RemoteTicket.wait

        def interrupted(ticket: RemoteTicket) -> StepOutput:
            monkeypatch.setattr(RemoteTicket, "wait", wait)
            raise KeyboardInterrupt

        for depth in (0, 1, 2):
            records.append(llm.step())
            monkeypatch.setattr(RemoteTicket, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                next(llm.run(depth))
            assert llm.num_steps_in_flight == depth + 1
        assert collect(records + finish(llm, 1), seq_ids) == right_tokens()


def test_an_llm_takes_a_runner_and_reads_the_tokenizer_alone() -> None:
    with (
        hosting(ChecksumRunner(40, 4, vocab_size=2560), num_blocks=40) as host,
        LLM(runner=RemoteRunner(host.url), max_num_seqs=2) as llm,
    ):
        params, prompts = SamplingParams(temperature=0, max_tokens=5), [[1, 2, 3], [4, 5]]
        said = llm.generate(list(prompts), params, use_tqdm=False)
        expected = [expected_tokens(prompt, params, 0, vocab_size=2560) for prompt in prompts]
        assert [list(one.token_ids) for one in said] == expected
        assert llm.info.choices["where the model is"][0] == host.url
        assert (llm.depth, llm.engine.config.num_blocks) == (1, 40)
        form = {"choice": ["yes", "no"]}  # what may be drawn is masked here, and drawn there
        params = SamplingParams(structured_outputs=form, max_tokens=9)
        assert llm.generate("Well?", params, use_tqdm=False)[0].text in form["choice"]
    with LLM(runner=ChecksumRunner(8, 4, vocab_size=2560)) as llm:
        assert llm.info.choices["runner"] == ("ChecksumRunner", "it was given")
