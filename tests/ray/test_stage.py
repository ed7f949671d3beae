import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import EngineClosedError
from nanovllm_edu.ray.stage import Answer, Stage
from tests.engine.faulty_runner import FaultyRunner
from tests.proof.small_llm import right, small_llm

FEW = SamplingParams(max_tokens=4, temperature=0)


def test_answers_are_those_of_an_engine_and_in_order():
    prompts = [[1 + i, 2, 3] for i in range(40)]
    with small_llm() as llm, Stage(llm, FEW) as stage:
        answers = stage.answers(prompts)
    assert [answer.token_ids for answer in answers] == [right(prompt, FEW) for prompt in prompts]
    assert {answer.num_prompt_tokens for answer in answers} == {3}
    assert {(answer.finish_reason, answer.error) for answer in answers} == {("length", None)}


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ([], "not one prompt"),
        ("", "the prompt is empty"),
        (None, "neither text, token ids nor"),
        ([1.5], "RequestError"),
        ([-1], "not in"),
        ([1] * 10_000, "PromptTooLongError"),
        ([[1], [2]], "2 prompts are not one prompt"),
        ([{"role": "user"}], "RequestError"),
    ],
)
def test_what_is_wrong_with_a_row_is_its_own_error(prompt, why: str):
    with Stage("tiny", FEW, num_blocks=64) as stage:
        good, bad, also_good = stage.answers(["One day", prompt, "One day"])
    assert good.error is None and good.token_ids == also_good.token_ids
    assert bad.error and why in bad.error
    assert bad[:3] == (None, None, None)


def test_a_conversation_goes_through_the_chat_template():
    messages = [{"role": "user", "content": "What is a KV cache?"}]
    with Stage("tiny", FEW) as stage:
        as_tokens = stage._llm.tokenizer.chat_prompt(messages)
        from_messages, from_tokens = stage.answers([messages, as_tokens])
    assert from_messages.text == from_tokens.text
    assert from_messages.num_prompt_tokens == len(as_tokens)


def test_a_step_that_fails_is_the_error_of_its_rows_and_the_next_batch_is_answered():
    runner = FaultyRunner(16, 4)
    runner.fail(in_launch=[1])
    llm = small_llm(runner=runner)
    with llm, Stage(llm, FEW) as stage:
        failed, answered = stage.answers([[1, 2]]), stage.answers([[1, 2]])
    assert failed[0].error and "middle of a launch" in failed[0].error
    assert answered == [
        Answer("".join(map(chr, right([1, 2], FEW))), right([1, 2], FEW), "length", 2)
    ]


def test_an_engine_that_has_ended_is_no_error_of_a_row():
    with small_llm() as llm:
        stage = Stage(llm, FEW)
        stage.close()
        with pytest.raises(EngineClosedError):
            stage.answers([[1, 2]])
