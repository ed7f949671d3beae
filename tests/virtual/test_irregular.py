import itertools
from dataclasses import replace
from functools import partial
from random import Random
from statistics import mean, pstdev

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import TraceError
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.virtual.calibration import Calibration, Seconds
from nanovllm_edu.virtual.fit import fit, samples_of
from nanovllm_edu.virtual.irregular import IrregularRunner
from nanovllm_edu.virtual.runner import twin_of

from .made import calibration

SPREAD = (-0.1, -0.05, 0.0, 0.15)
"""A step of 10 ms takes 1 ms less at the least, and 1.5 ms more at the most."""


def device(seconds: float, spread: tuple[float, ...] = SPREAD) -> Calibration:
    return replace(calibration(Seconds(seconds), Seconds()), spread=spread)


def step_times(given: Calibration, seed: int = 0, count: int = 400) -> list[float]:
    engine = LLMEngine(IrregularRunner(given, 100, seed=seed), EngineConfig())
    engine.add_requests([([1, 2], SamplingParams(max_tokens=count, ignore_eos=True))])
    times = [0.0]
    while engine.has_unfinished_requests():
        engine.step()
        times.append(engine.clock())
    return [after - before for before, after in itertools.pairwise(times)]


def test_steps_differ_as_the_calibration_says_and_not_in_their_mean():
    times = step_times(device(0.01))
    expected = [0.01 + x * 0.01 for x in SPREAD]
    assert {round(t, 6) for t in times} == {round(t, 6) for t in expected}
    assert mean(times) == pytest.approx(0.01, rel=0.01)


def test_a_step_that_is_four_times_as_long_is_off_by_four_times_as_much():
    short, long = step_times(device(0.01)), step_times(device(0.04))
    assert pstdev(long) == pytest.approx(4 * pstdev(short))


def test_the_same_seed_gives_the_same_run():
    assert step_times(device(0.01), 1) == step_times(device(0.01), 1)
    assert step_times(device(0.01), 1) != step_times(device(0.01), 2)
    with pytest.raises(TraceError, match="seed='a' is not an integer"):
        IrregularRunner(device(0.01), 100, seed="a")


def test_no_step_takes_less_than_no_time_and_without_a_spread_each_takes_its_own():
    assert min(step_times(device(1e-4, (-1.5, 1.5)))) == 0.0
    assert step_times(device(0.01, ()), count=9) == pytest.approx([0.01] * 9)


def test_a_fork_is_disturbed_as_the_other_one_will_be():
    engine = LLMEngine(IrregularRunner(device(0.01), 100))
    engine.add_requests([([1, 2], SamplingParams(max_tokens=40, ignore_eos=True))])
    engine.step()
    twin = engine.fork()
    list(engine.run(0))
    list(twin.run(0))
    assert twin.clock() == engine.clock()


def test_a_twin_may_be_irregular():
    real = LLMEngine(ChecksumRunner(24, 8), EngineConfig(block_size=8, max_num_seqs=3))
    runner = twin_of(real, device(0.01), partial(IrregularRunner, seed=3)).runner
    assert isinstance(runner, IrregularRunner)
    assert (runner.num_blocks, runner.block_size) == (24, 8)


def test_what_is_fitted_differs_as_much_as_what_was_recorded():
    class Named(IrregularRunner):
        made_of = type("", (), {"_asdict": lambda self: {"model": "m", "device": "d"}})()

    engine = LLMEngine(Named(device(0.01), 400), EngineConfig(max_num_seqs=8))
    recorder, random = Recorder(engine), Random(1)
    for _ in range(30):
        tokens = random.choices(range(9), k=random.randint(2, 30))
        recorder.add_request(tokens, SamplingParams(max_tokens=30, ignore_eos=True))
    while engine.has_unfinished_requests():
        recorder.step()
    found = fit([recorder.recording])
    times = [sample.seconds for sample in samples_of(recorder.recording)]
    assert sum(found.spread) == pytest.approx(0, abs=1e-4)
    assert pstdev(found.spread) == pytest.approx(pstdev(times) / 0.01, rel=0.1)
