"""Whatever fails, a device, a policy or a tokenizer: the engine can go on, and nothing leaks."""

import itertools
from typing import Any

import pytest

from nanovllm_edu.core.events import DraftFailed
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, DeviceLostError, NanoVLLMError
from nanovllm_edu.runners.checksum import ChecksumRunner, ReadyTicket
from tests.engine.engines import (
    GREEDY,
    PROMPTS,
    Letters,
    add_all,
    collect,
    engine,
    finish,
    right_tokens,
)
from tests.engine.faulty_runner import DeviceFailure, FaultyRunner


def faulty_engine(**options: Any) -> tuple[LLMEngine, FaultyRunner]:
    runner = FaultyRunner(32, 4)
    return engine(runner, **options), runner


def steps_until(error: type[Exception], llm: LLMEngine, depth: int) -> list[StepRecord]:
    """The records of a run that fails with this error."""
    records: list[StepRecord] = []
    with pytest.raises(error):
        records.extend(llm.run(depth))  # keeps what it got before the error
    llm.scheduler.check_invariants()
    return records


@pytest.mark.parametrize("where", ["in_launch", "in_wait"])
def test_a_failed_step_can_be_retried(where: str) -> None:
    llm, runner = faulty_engine()
    seq_ids = add_all(llm)
    records = [llm.step(), llm.step()]
    runner.fail(**{where: [0]})
    with pytest.raises(DeviceFailure):
        llm.step()
    llm.scheduler.check_invariants()
    assert llm.num_steps_in_flight == 0
    assert list(llm.scheduler.waiting) == seq_ids
    assert collect(records + finish(llm), seq_ids) == right_tokens()


@pytest.mark.parametrize("where", ["in_launch", "in_wait"])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("at_launch", [0, 1, 2, 4])
def test_at_any_depth_no_token_is_lost_or_doubled(where: str, depth: int, at_launch: int) -> None:
    llm, runner = faulty_engine()
    seq_ids = add_all(llm)
    runner.fail(**{where: [at_launch]})
    records = steps_until(DeviceFailure, llm, depth)
    assert collect(records + finish(llm, depth), seq_ids) == right_tokens()


@pytest.mark.parametrize("depth", [0, 2])
def test_a_device_that_fails_again_and_again_can_be_tried_again_and_again(depth: int) -> None:
    llm, runner = faulty_engine()
    seq_ids = add_all(llm)
    records = []
    for _ in range(3):
        runner.fail(in_wait=[1])
        records += steps_until(DeviceFailure, llm, depth)
    assert collect(records + finish(llm, depth), seq_ids) == right_tokens()


@pytest.mark.parametrize("where", ["in_launch", "in_wait"])
def test_after_a_failure_requests_can_be_aborted_instead(where: str) -> None:
    llm, runner = faulty_engine()
    seq_ids = add_all(llm)
    runner.fail(**{where: [0]})
    steps_until(DeviceFailure, llm, 1)
    for seq_id in seq_ids:
        llm.abort_request(seq_id)
    llm.scheduler.check_invariants()
    assert finish(llm) == []


def test_nothing_that_a_failed_step_wrote_is_found_later() -> None:
    llm, runner = faulty_engine()
    prompt = list(range(1, 12))
    llm.add_request(prompt)
    runner.fail(in_wait=[0])
    steps_until(DeviceFailure, llm, 0)
    assert all(block.state == "free" for block in llm.state().blocks)


def test_sequences_outside_the_failed_step_keep_their_blocks() -> None:
    llm, runner = faulty_engine(policy=PhaseSeparatedPolicy())
    first = add_all(llm, [[1, 2, 3]])
    records = [llm.step()]
    second = add_all(llm, [[4, 5, 6]])
    runner.fail(in_wait=[0])  # a step of prefill only
    with pytest.raises(DeviceFailure):
        llm.step()
    assert (list(llm.scheduler.running), list(llm.scheduler.waiting)) == (first, second)
    records += finish(llm)
    assert collect(records, first + second) == right_tokens([[1, 2, 3], [4, 5, 6]])


def test_an_interrupted_launch_is_a_failure_like_any_other() -> None:
    llm = engine()
    seq_ids = add_all(llm)
    launch = llm.runner.launch

    def interrupted(plan: Any) -> Any:
        llm.runner.launch = launch  # type: ignore[method-assign]
        raise KeyboardInterrupt

    llm.runner.launch = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        llm.step()
    assert llm.num_steps_in_flight == 0
    assert collect(finish(llm), seq_ids) == right_tokens()


class InterruptedTicket:
    """Is interrupted the first time it is waited for."""

    def __init__(self, ticket: Any) -> None:
        self.ticket, self.is_first = ticket, True

    def wait(self) -> Any:
        if self.is_first:
            self.is_first = False
            raise KeyboardInterrupt
        return self.ticket.wait()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_an_interrupt_while_it_waits_leaves_the_step_in_flight(depth: int) -> None:
    """The device works on: the next call takes up what it did."""
    llm = engine()
    seq_ids = add_all(llm)
    records = [llm.step()]
    launch = llm.runner.launch

    def slow(plan: Any) -> Any:
        llm.runner.launch = launch  # type: ignore[method-assign]
        return InterruptedTicket(launch(plan))

    llm.runner.launch = slow  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        next(llm.run(depth))
    assert llm.num_steps_in_flight == depth + 1
    assert list(llm.scheduler.running) == seq_ids
    records.append(llm.step())
    assert records[-1].step_id == 1
    assert collect(records + finish(llm, depth), seq_ids) == right_tokens()


def test_a_runner_that_forgets_a_token_fails_before_anything_moved() -> None:
    llm = engine()
    seq_ids = add_all(llm)
    launch = llm.runner.launch

    def forgetful(plan: Any) -> Any:
        llm.runner.launch = launch  # type: ignore[method-assign]
        ticket = launch(plan)
        tokens = dict(list(ticket.output.tokens.items())[:-1])
        return ReadyTicket(StepOutput(tokens))

    llm.runner.launch = forgetful  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        llm.step()
    assert collect(finish(llm), seq_ids) == right_tokens()


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_row_that_fails_ends_with_an_error_and_the_others_go_on(depth: int) -> None:
    llm = engine()
    seqs = llm.add_requests([(prompt, GREEDY) for prompt in PROMPTS])
    launch = llm.runner.launch
    num_launches = 0

    def launch_with_a_bad_row(plan: Any) -> Any:
        nonlocal num_launches
        num_launches += 1
        ticket = launch(plan)
        if num_launches == 3:
            tokens = {i: new for i, new in ticket.output.tokens.items() if i != 1}
            return ReadyTicket(StepOutput(tokens, errors={1: "its logits are not numbers"}))
        return ticket

    llm.runner.launch = launch_with_a_bad_row  # type: ignore[method-assign]
    records = finish(llm, depth)
    right = right_tokens()
    right[1] = right[1][:2]
    assert collect(records, [0, 1, 2, 3]) == right
    assert [seq.finish_reason for seq in seqs] == ["length", "error", "length", "length"]
    assert seqs[1].finish_detail == "its logits are not numbers"


@pytest.mark.parametrize("depth", [0, 2])
def test_a_tokenizer_that_raises_ends_its_own_request_and_costs_no_other_a_token(
    depth: int,
) -> None:
    right = right_tokens()
    unspeakable = right[2][0]

    class Breaks(Letters):
        def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
            if unspeakable in token_ids:
                raise UnicodeError("no such text")
            return super().decode(token_ids)

    llm = LLMEngine(engine().runner, tokenizer=Breaks())
    params = SamplingParams(temperature=0, max_tokens=6, stop=("never this",))
    seqs = llm.add_requests([(prompt, params) for prompt in PROMPTS])
    records = finish(llm, depth)
    right[2] = right[2][:1]
    assert collect(records, [0, 1, 2, 3]) == right
    assert [seq.finish_reason for seq in seqs] == ["length", "length", "error", "length"]
    assert "UnicodeError: no such text" in seqs[2].finish_detail


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_proposer_that_fails_costs_no_token(depth: int) -> None:
    class Fails:
        def propose(self, token_ids: Any, num_tokens: int) -> Any:
            raise LookupError("no such text")

    llm = engine(draft_proposer=Fails())
    seq_ids = add_all(llm)
    records = finish(llm, depth)
    assert collect(records, seq_ids) == right_tokens()
    assert any(isinstance(e, DraftFailed) for record in records for e in record.events)


@pytest.mark.parametrize("guess", [-1, 1000, 10**9, 2**64], ids=str)
def test_guesses_that_are_no_tokens_of_the_model_cost_no_token(guess: int) -> None:
    class Odd:
        def propose(self, token_ids: Any, num_tokens: int) -> Any:
            return [guess] * num_tokens

    llm = engine(draft_proposer=Odd())
    seq_ids = add_all(llm)
    assert collect(finish(llm), seq_ids) == right_tokens()


def test_a_proposer_without_an_end_is_cut() -> None:
    class Endless:
        def propose(self, token_ids: Any, num_tokens: int) -> Any:
            return itertools.repeat(7)

    llm = engine(draft_proposer=Endless())
    seq_ids = add_all(llm)
    assert collect(finish(llm), seq_ids) == right_tokens()


# --------------------------------------------------------------------------- policies


class Odd(MixedPolicy):
    """Well-behaved until told otherwise."""

    answer: Any = None
    is_odd = False

    def order(self, running: Any, waiting: Any) -> Any:
        if not self.is_odd:
            return super().order(running, waiting)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (ZeroDivisionError("mine"), ZeroDivisionError, "mine"),
        (None, ConfigError, "return a list of groups"),
        ([[1, 2]], ConfigError, "return a list of groups"),
        ([], NanoVLLMError, "scheduled nothing while 4 sequences run"),
        ([[], []], NanoVLLMError, "must yield the sequences it is given"),
    ],
    ids=["raises", "none", "numbers", "nothing", "empty groups"],
)
def test_a_policy_that_goes_wrong_is_told_and_can_be_replaced(
    answer: Any, error: type[Exception], message: str, depth: int
) -> None:
    policy = Odd()
    policy.answer = answer
    llm = engine(policy=policy)
    seq_ids = add_all(llm)
    stream = llm.run(depth)
    records = [next(stream)]
    policy.is_odd = True
    with pytest.raises(error, match=message):
        records.extend(stream)
    llm.scheduler.check_invariants()
    policy.is_odd = False
    assert collect(records + finish(llm, depth), seq_ids) == right_tokens()


def test_a_policy_that_forgets_some_serves_the_others_first() -> None:
    class Favourite(MixedPolicy):
        def order(self, running: Any, waiting: Any) -> Any:
            everybody = [*running, *waiting]
            return [[seq for seq in everybody if seq.seq_id == max(s.seq_id for s in everybody)]]

    llm = engine(policy=Favourite())
    seq_ids = add_all(llm)
    records = finish(llm)
    assert [i for record in records for i in record.finished] == seq_ids[::-1]
    assert collect(records, seq_ids) == right_tokens()


def test_a_bad_policy_object_is_an_error_of_the_config() -> None:
    for policy in (MixedPolicy, "mixed", None):
        with pytest.raises(ConfigError, match=r"such as MixedPolicy\(\)"):
            engine(policy=policy)


# --------------------------------------------------------------------- a device that is lost


class LostRunner(ChecksumRunner):
    """Is lost at the launch with this number, and a blank one stands there instead."""

    at = -1

    def launch(self, plan: StepPlan) -> ReadyTicket:
        self.at -= 1
        if self.at == -1:
            self.__init__(self.num_blocks, self.block_size)
            raise DeviceLostError("gone")
        return super().launch(plan)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("at_launch", [0, 1, 2, 5])
def test_of_a_device_that_is_lost_nothing_counts_any_more(depth: int, at_launch: int) -> None:
    """Other than after a failed step, those wait again that were not in it."""
    runner = LostRunner(32, 4)
    llm = engine(runner, policy=PhaseSeparatedPolicy())
    first = add_all(llm, [[1, 2, 3]])
    records = [llm.step()]
    second = add_all(llm, [[4, 5, 6], [7, 8, 9]])
    runner.at = at_launch
    records += steps_until(DeviceLostError, llm, depth)
    assert list(llm.scheduler.waiting) == first + second
    assert (llm.num_steps_in_flight, list(llm.scheduler.running)) == (0, [])
    assert all(block.state == "free" for block in llm.state().blocks)
    records += finish(llm, depth)
    assert collect(records, first + second) == right_tokens([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
