import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import CalibrationError
from nanovllm_edu.introspect import Recorder, load, save
from nanovllm_edu.introspect.latency import latencies
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens
from nanovllm_edu.virtual.calibration import Seconds
from nanovllm_edu.virtual.runner import VirtualRunner, twin_of, virtual_engine

from .made import calibration

ONE_MS = calibration(Seconds(1e-3), Seconds(1e-4))


def params(max_tokens: int) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)


def test_a_step_takes_the_hosts_and_the_devices_time():
    engine = virtual_engine(ONE_MS, 16)
    engine.add_request([1, 2, 3], params(5))
    for count in range(1, 6):
        engine.step()
        assert engine.clock() == pytest.approx(count * 1.1e-3)


def test_planning_ahead_hides_the_host_behind_the_device():
    engine = virtual_engine(ONE_MS, 16)
    engine.add_request([1, 2, 3], params(50))
    list(engine.run(depth=1))
    assert engine.clock() == pytest.approx(1e-4 + 50 * 1e-3)


def test_the_engines_records_are_in_its_time(tmp_path):
    engine = virtual_engine(ONE_MS, 16)
    engine.clock.skip_to(7.0)
    recorder = Recorder(engine)
    seq = engine.add_requests([([1, 2, 3], params(4))])[0]
    records = list(recorder.run(depth=0))
    assert seq.token_times == pytest.approx([7 + 1.1e-3 * i for i in range(1, 5)])
    assert records[0].timings["forward"] == 1e-3
    recording = load(save(recorder.recording, tmp_path / "run.json.gz"))
    assert latencies(recording).first_token[0] == pytest.approx(1.1e-3)
    assert latencies(recording).between_tokens == pytest.approx([1.1e-3] * 3)


def test_decisions_are_those_of_a_real_engine():
    """The same steps, events and block tables as with a runner that computes."""

    def recorded(runner) -> Recorder:
        engine = LLMEngine(runner, EngineConfig(block_size=4, max_num_batched_tokens=16))
        recorder = Recorder(engine)
        for i in range(6):
            recorder.add_request([i % 2] * 8 + list(range(i)), params(9))
        list(recorder.run(depth=0))
        return recorder

    real = recorded(ChecksumRunner(14, 4))
    virtual = recorded(VirtualRunner(ONE_MS, 14, 4, tokens=ChecksumRunner(14, 4)))
    assert [*real.recording] == [*virtual.recording]
    assert any(record.preempted for record in real.recording)


def test_tokens_may_be_computed_by_another_runner():
    prompt = [5, 6, 7]
    engine = LLMEngine(VirtualRunner(ONE_MS, 16, 4, tokens=ChecksumRunner(16, 4)))
    seq = engine.add_requests([(prompt, params(6))])[0]
    list(engine.run(0))
    assert seq.output_token_ids == expected_tokens(prompt, params(6), 0)


def test_a_fork_has_a_clock_of_its_own():
    engine = virtual_engine(ONE_MS, 16)
    engine.add_request([1, 2, 3], params(9))
    engine.step()
    twin = engine.fork()
    list(engine.run(0))
    assert twin.clock() == pytest.approx(1.1e-3)
    list(twin.run(0))
    assert twin.clock() == engine.clock()


def test_a_twin_has_the_pool_and_the_limits_of_the_real_one():
    real = LLMEngine(ChecksumRunner(24, 8), EngineConfig(block_size=8, max_num_seqs=3))
    twin = twin_of(real, ONE_MS)
    assert twin.runner.num_blocks == 24
    assert twin.runner.block_size == 8
    assert twin.config == real.config
    real.runner.made_of = ("another model", "a device")
    with pytest.raises(CalibrationError, match="of another model"):
        twin_of(real, ONE_MS)
