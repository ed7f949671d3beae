"""An engine made again by taking its steps again is the engine it was."""

from random import Random

import pytest

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.core.schedule.policy import MixedPolicy
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.introspect.rewind import Rewinder
from tests.introspect.workload import make_engine, play, random_params, random_prompt


def recorded(seed: int, has_past: bool):
    """A rewinder, a recorder, and the live states: [k] after step k, [-1] is not among them."""
    rng = Random(seed)
    engine = make_engine(rng)
    if has_past:
        engine.add_request(random_prompt(rng, engine), random_params(rng, engine))
        engine.step()
    rewinder, recorder, states = Rewinder(engine), Recorder(engine), []
    for k in range(24):
        if k % 3 == 0:
            recorder.add_request(random_prompt(rng, engine), random_params(rng, engine))
        unfinished = sorted(engine.unfinished_seq_ids())
        if k % 7 == 5 and unfinished:
            recorder.abort_request(unfinished[0])
        elif k % 5 == 3 and unfinished:
            recorder.update_request(unfinished[-1], temperature=0.6)
        recorder.step()
        states.append(engine.state())
    return rewinder, recorder, states


@pytest.mark.parametrize("has_past", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_it_stands_where_the_engine_stood_and_goes_on_alike(seed, has_past):
    rewinder, recorder, states = recorded(seed, has_past)
    recording = recorder.recording
    for k in (0, 5, 17, 23):
        assert rewinder.engine_at(recording, k).state() == states[k]
    again, live = rewinder.engine_at(recording, 23), recorder.engine
    while live.has_unfinished_requests():
        assert again.step() == live.step()


def test_the_keys_and_values_are_there_again():
    with LLM(num_blocks=24, block_size=4, max_num_seqs=3) as llm:
        rewinder, recorder = Rewinder(llm.engine), Recorder(llm)
        for prompt in ("What is a KV cache?", "What is a block table?"):
            recorder.add_request(prompt, SamplingParams(temperature=0.8, max_tokens=12))
        for _ in range(14):
            recorder.step()
        again = rewinder.engine_at(recorder.recording, 4)
        for record in recorder.recording.records[5:]:
            assert again.step() == record


class Moody(MixedPolicy):
    """Ranks by something outside: not twice the same way."""

    is_reversed = False

    def order(self, running, waiting):
        (group,) = super().order(running, waiting)
        return [reversed(list(group))] if Moody.is_reversed else [group]


def test_a_step_that_comes_out_different_is_an_error(monkeypatch):
    engine = make_engine(Random(1), policy=Moody(), max_num_seqs=4, max_num_batched_tokens=24)
    rewinder, recorder = Rewinder(engine), Recorder(engine)
    for token in (1, 2, 3):
        recorder.add_request([token, 5], SamplingParams(max_tokens=4))
    recorder.step()
    recorder.step()
    monkeypatch.setattr(Moody, "is_reversed", True)
    with pytest.raises(RecordingError, match="came out different"):
        rewinder.engine_at(recorder.recording, 1)


def test_failed_and_overlapped_steps_cannot_be_repeated():
    engine = make_engine(Random(2))
    failed = play(2, fail_at=(3,)).recorder.recording
    with pytest.raises(RecordingError, match="a step failed here"):
        Rewinder(engine).engine_at(failed, len(failed) - 1)
    rewinder, recorder = Rewinder(engine), Recorder(engine)
    recorder.add_request([1, 2, 3], SamplingParams(max_tokens=6))
    for _ in recorder.run(1):
        pass
    with pytest.raises(RecordingError, match="already planned"):
        rewinder.engine_at(recorder.recording, 3)
