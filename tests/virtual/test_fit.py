import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import CalibrationError
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.lessons.hidden_device import hidden_engine, record
from nanovllm_edu.virtual.arrivals import poisson
from nanovllm_edu.virtual.fit import fit, samples_of
from nanovllm_edu.virtual.measure import record_runs
from nanovllm_edu.virtual.runner import VirtualRunner

from .made import DEVICE, HOST, calibration


class Named:
    def _asdict(self) -> dict[str, str]:
        return {"model": "a model", "device": "a device"}


class KnownRunner(VirtualRunner):
    """Takes times that follow the model exactly, and says what it is."""

    made_of = Named()


def known_engine() -> LLMEngine:
    runner = KnownRunner(calibration(), 400, max_model_len=1000)
    return LLMEngine(runner, EngineConfig(max_num_seqs=24))


def recordings() -> list[Recording]:
    engine = known_engine()
    return list(record_runs(engine, engine.clock))


def test_the_seconds_of_a_device_that_is_a_sum_are_found():
    found = fit(recordings())
    for name in DEVICE._fields:
        assert getattr(found.device, name) == pytest.approx(getattr(DEVICE, name), rel=1e-3), name
        assert getattr(found.host, name) == pytest.approx(getattr(HOST, name), rel=1e-3), name
    assert (found.model, found.device_name) == ("a model", "a device")
    assert found.step_error < 1e-3
    assert abs(found.total_error) < 1e-3


def test_every_step_of_a_busy_engine_is_a_sample():
    for recording in recordings():
        samples = list(samples_of(recording))
        assert len(samples) == len(recording)
        assert sum(s.seconds for s in samples) == pytest.approx(recording.journal[-1].seconds)


def test_time_without_work_is_no_steps():
    engine = known_engine()
    recorder = Recorder(engine)
    params = SamplingParams(max_tokens=3, ignore_eos=True)
    for pause in (0.0, 100.0):
        engine.clock.skip_to(pause)
        recorder.add_request([1, 2, 3], params)
        while engine.has_unfinished_requests():
            recorder.step()
    samples = list(samples_of(recorder.recording))
    assert len(samples) == 6
    assert max(sample.seconds for sample in samples) < 0.01


def test_steps_that_overlapped_are_refused():
    engine = known_engine()
    recorder = Recorder(engine)
    for _ in range(3):
        recorder.add_request([1, 2, 3], SamplingParams(max_tokens=9, ignore_eos=True))
    list(recorder.run(depth=1))
    with pytest.raises(CalibrationError, match="planned while another one ran"):
        fit([recorder.recording])


def test_too_few_steps_and_unknown_or_several_devices_are_refused():
    engine = known_engine()
    recorder = Recorder(engine)
    recorder.add_request([1], SamplingParams(max_tokens=3, ignore_eos=True))
    list(recorder.run(depth=0))
    with pytest.raises(CalibrationError, match="3 steps say too little"):
        fit([recorder.recording])
    with pytest.raises(CalibrationError, match="of one model on one device"):
        fit([])
    recorder.recording.engine.pop("model", None)
    other = Recording(recorder.recording.initial, (), {"model": "b", "device": "c"})
    with pytest.raises(CalibrationError, match="of one model on one device"):
        fit([recorder.recording, other])


def test_the_steps_of_a_device_that_is_not_regular_sum_up():
    """Else whole runs would be predicted too quick: quick steps would count for more."""
    run = record(hidden_engine(seed=5), poisson(60, 80, (5, 200), (10, 90), 1))
    assert abs(fit([run]).total_error) < 1e-5
