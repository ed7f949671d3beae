"""An engine and its fork, driven by one position."""

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.policy import PhaseSeparatedPolicy
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.introspect.branch import Branch, Branches, fork_branch
from nanovllm_edu.introspect.rewind import Rewinder
from nanovllm_edu.runners.checksum import ChecksumRunner


@pytest.fixture
def driven():
    engine = LLMEngine(ChecksumRunner(12, 4), EngineConfig(max_num_batched_tokens=8))
    rewinder, branches = Rewinder(engine), Branches(Branch(Recorder(engine)))
    for length in (5, 9, 14):
        params = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
        branches.main.recorder.add_request(list(range(length)), params)
    branches.advance_to(2)
    return branches, rewinder


def fork(driven, at, **changes):
    branches, rewinder = driven
    branches.fork, branches.since = fork_branch(branches.main, rewinder, at, changes), at + 1
    return branches


def test_a_fork_that_keeps_its_cache_has_the_same_past(driven):
    branches = fork(driven, 1, policy=PhaseSeparatedPolicy())
    assert branches.fork.begin == 0 and branches.fork.last == 1
    assert [branches.fork.record(i) for i in (0, 1)] == [branches.main.record(i) for i in (0, 1)]
    branches.advance_to(3)
    assert branches.fork.last == branches.main.last == 3
    while branches.has_work:
        branches.advance_to(branches.last + 1)
    differs = branches.first_difference(branches.last)
    assert differs is not None and differs > 1
    for at in range(differs):
        assert branches.main.record(at) == branches.fork.record(at)
    assert branches.main.record(differs) != branches.fork.record(differs)


def test_a_fork_that_is_computed_anew_begins_there(driven):
    branches = fork(driven, 1, block_size=2)
    assert branches.fork.begin == 2 and branches.fork.last == 1
    assert branches.fork.record(1) is None and branches.fork.shown_for(0) == 1
    records = branches.advance_to(2)
    assert records == [branches.main.record(2), branches.fork.record(2)]


def test_a_fork_without_a_change_goes_the_same_way(driven):
    branches = fork(driven, 0)
    while branches.has_work:
        branches.advance_to(branches.last + 1)
    assert branches.first_difference(branches.last) is None
    assert branches.main.facts(1, branches.last) == branches.fork.facts(1, branches.last)
    assert branches.main.facts(0, 0).startswith("1 step, ")


def test_an_option_that_no_fork_can_change_is_refused(driven):
    with pytest.raises(ConfigError, match="cannot change"):
        fork(driven, 1, max_num_seqs=2)
