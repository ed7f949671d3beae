"""`update_request`: another temperature from the next step on, and nothing else."""

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, UnknownRequestError
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens
from tests.engine.faulty_runner import DeviceFailure, FaultyRunner


def test_it_samples_as_if_asked_so_from_here_on():
    engine, prompt = LLMEngine(ChecksumRunner()), [1, 2, 3]
    seq_id = engine.add_request(prompt, SamplingParams(temperature=0.0, max_tokens=9))
    for _ in range(4):
        engine.step()
    greedy = list(engine.scheduler.sequence(seq_id).output_token_ids)
    params = engine.update_request(seq_id, temperature=1.0)
    assert params == SamplingParams(temperature=1.0, max_tokens=9)
    seed = engine.scheduler.sequence(seq_id).seed
    warm = [record.new_tokens[seq_id][0] for record in engine.run(0)]
    again = SamplingParams(temperature=1.0, max_tokens=5)
    assert warm == expected_tokens([*prompt, *greedy], again, seed)


@pytest.mark.parametrize(
    "changes",
    [{"max_tokens": 3}, {"seed": 1}, {"temperature": -1.0}, {"top_k": 2**63}, {"top_p": 1e-50}],
)
def test_what_cannot_change_is_an_error(changes):
    engine = LLMEngine(ChecksumRunner())
    seq_id = engine.add_request([1, 2, 3])
    with pytest.raises(ConfigError):
        engine.update_request(seq_id, **changes)


def test_a_finished_request_cannot_change():
    engine = LLMEngine(ChecksumRunner())
    seq_id = engine.add_request([1, 2, 3], SamplingParams(max_tokens=1))
    engine.step()
    with pytest.raises(UnknownRequestError):
        engine.update_request(seq_id, temperature=0.5)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_with_steps_planned_ahead_it_begins_with_the_next_plan(depth):
    engine, prompt = LLMEngine(ChecksumRunner()), [1, 2, 3]
    params = SamplingParams(temperature=0.0, max_tokens=9)
    (seq,) = engine.add_requests([(prompt, params)])
    next(engine.run(depth))
    engine.update_request(seq.seq_id, temperature=1.0)
    list(engine.run(depth))
    num_greedy = 1 + depth
    greedy = expected_tokens(prompt, params, seq.seed)[:num_greedy]
    assert seq.output_token_ids[:num_greedy] == greedy
    warm = SamplingParams(temperature=1.0, max_tokens=9 - num_greedy)
    assert seq.output_token_ids[num_greedy:] == expected_tokens(prompt + greedy, warm, seq.seed)


@pytest.mark.parametrize("where", ["in_launch", "in_wait"])
def test_it_survives_a_device_that_failed_before_it_heard_of_it(where):
    runner = FaultyRunner(64, 4)
    engine = LLMEngine(runner)
    (seq,) = engine.add_requests([([1, 2, 3], SamplingParams(temperature=0.0, max_tokens=6))])
    engine.step()
    engine.update_request(seq.seq_id, temperature=1.0)
    runner.fail(**{where: [0]})
    with pytest.raises(DeviceFailure):
        engine.step()
    list(engine.run(0))
    greedy = seq.output_token_ids[:1]
    warm = SamplingParams(temperature=1.0, max_tokens=5)
    assert seq.output_token_ids[1:] == expected_tokens([1, 2, 3, *greedy], warm, seq.seed)
