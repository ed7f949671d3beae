"""An interrupt may come at any moment: no record is lost, and what was recorded still loads."""

import signal
from random import Random

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder, load, save
from nanovllm_edu.runners.checksum import ChecksumRunner, ReadyTicket


class Stopped(ChecksumRunner):
    """The stop button is pressed while the device works: at some launches, or at some waits."""

    at_launch = at_wait = frozenset()
    num_launches = num_waits = 0

    def launch(self, plan):
        self.num_launches += 1
        if self.num_launches in self.at_launch:
            raise KeyboardInterrupt
        return StoppedTicket(super().launch(plan), self)


class StoppedTicket:
    def __init__(self, ticket: ReadyTicket, runner: Stopped) -> None:
        self.ticket, self.runner = ticket, runner

    def wait(self):
        self.runner.num_waits += 1
        if self.runner.num_waits in self.runner.at_wait:
            raise KeyboardInterrupt
        return self.ticket.wait()


def play_on(recorder: Recorder, depth: int) -> list:
    """Goes on after each interrupt, with requests that come and go meanwhile."""
    states, rng = [], Random(0)
    engine = recorder.engine
    while engine.has_unfinished_requests() or engine.num_steps_in_flight:
        try:
            for _ in recorder.run(depth):
                states.append(engine.state())
        except KeyboardInterrupt:
            if rng.random() < 0.5:
                recorder.add_request([1, 2, 3, rng.randrange(99)], SamplingParams(max_tokens=4))
            else:
                recorder.abort_request(max(engine.unfinished_seq_ids()))
    return states


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("at", [{"at_launch": {4, 9}}, {"at_wait": {1, 5, 11}}])
def test_a_recording_after_interrupts_is_whole_and_loads(at, depth, tmp_path):
    runner = Stopped(12, 4)
    for name, numbers in at.items():
        setattr(runner, name, frozenset(numbers))
    recorder = Recorder(LLMEngine(runner, EngineConfig(max_num_seqs=3)))
    for number in range(4):
        recorder.add_request([1, 2, 3, 4, 5, number], SamplingParams(max_tokens=9))
    states = play_on(recorder, depth)
    recording = recorder.recording
    assert len(recording) == len(states) > 8
    for k in range(len(states) - depth):
        assert recording.state_at(k) == states[k], f"step {k}"
    assert load(save(recording, tmp_path / "x.json")) == recording


class LosesOne(LLMEngine):
    """The interrupt comes after the commit, before anybody has the record."""

    loses_at = 3

    def step(self):
        record = super().step()
        if record.step_id == self.loses_at:
            raise KeyboardInterrupt
        return record


def test_a_record_that_was_committed_is_kept_though_nobody_got_it(tmp_path):
    engine = LosesOne(ChecksumRunner(12, 4))
    recorder = Recorder(engine)
    recorder.add_request([1, 2, 3], SamplingParams(max_tokens=8))
    for _ in range(3):
        recorder.step()
    with pytest.raises(KeyboardInterrupt):
        recorder.step()
    recorder.step()
    recording = recorder.recording
    assert [record.step_id for record in recording] == [0, 1, 2, 3, 4]
    assert recording.state_at(4) == engine.state()
    assert load(save(recording, tmp_path / "x.json")) == recording


def test_an_interrupt_during_the_bookkeeping_waits_for_its_end(monkeypatch):
    recorder = Recorder(LLMEngine(ChecksumRunner(12, 4)))
    recorder.add_request([1, 2, 3], SamplingParams(max_tokens=4))
    keep = Recorder._keep

    def keep_and_press(self, record):
        signal.raise_signal(signal.SIGINT)
        keep(self, record)

    monkeypatch.setattr(Recorder, "_keep", keep_and_press)
    with pytest.raises(KeyboardInterrupt):
        recorder.step()
    monkeypatch.undo()
    assert len(recorder) == 1
    assert recorder.recording.state_at(0) == recorder.engine.state()
