from typing import Any

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import (
    NanoVLLMError,
    PromptTooLongError,
    RequestError,
    UnknownRequestError,
)
from nanovllm_edu.runners.checksum import ChecksumRunner
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

BAD_PROMPTS: list[tuple[Any, type[NanoVLLMError], list[str]]] = [
    ([], RequestError, ["empty", "at least one token"]),
    ([1, 1000], RequestError, ["token id 1000", "[0, 1000)"]),
    ([-1], RequestError, ["token id -1", "[0, 1000)"]),
    ([1] * 128, PromptTooLongError, ["128 tokens", "max_model_len=128", "shorten it"]),
    ([1] * 500, PromptTooLongError, ["500 tokens", "32 blocks of 4", "num_blocks"]),
    ([1, 2.5], RequestError, ["[1, 2.5]", "neither text nor token ids"]),
    ([1, "2"], RequestError, ["neither text nor token ids"]),
    ([[1, 2]], RequestError, ["neither text nor token ids"]),
    (None, RequestError, ["None", "neither text nor token ids"]),
    (7, RequestError, ["7", "neither text nor token ids"]),
    ("text", RequestError, ["no tokenizer", "token ids"]),
]


@pytest.mark.parametrize(("prompt", "error", "parts"), BAD_PROMPTS)
def test_a_bad_prompt_is_a_typed_error_and_the_others_are_served(
    prompt: Any, error: type[NanoVLLMError], parts: list[str]
) -> None:
    llm = engine()
    seq_ids = add_all(llm)
    before = llm.state()
    with pytest.raises(error) as raised:
        llm.add_request(prompt, GREEDY)
    for part in parts:
        assert part in str(raised.value)
    assert llm.state() == before
    assert collect(finish(llm), seq_ids) == right_tokens()


def test_the_last_prompt_that_fits_gets_one_token() -> None:
    llm = engine()
    seq_id = llm.add_request([1] * 127, GREEDY)
    assert [dict(r.finished) for r in finish(llm)] == [{seq_id: "length"}]


def test_params_of_another_type_are_an_error() -> None:
    with pytest.raises(RequestError, match="not a SamplingParams"):
        engine().add_request([1], {"temperature": 0})  # type: ignore[arg-type]


def test_stop_strings_need_a_tokenizer() -> None:
    with pytest.raises(RequestError, match="use stop_token_ids"):
        engine().add_request([1], SamplingParams(stop="x"))


def test_integers_of_other_libraries_are_token_ids() -> None:
    class Integer:
        def __index__(self) -> int:
            return 5

    llm = engine()
    seq_id = llm.add_request([Integer()], GREEDY)  # type: ignore[list-item]
    assert llm.state().sequences[seq_id].token_ids == (5,)


def test_text_goes_through_the_tokenizer_and_a_stop_string_ends_it() -> None:
    llm = LLMEngine(ChecksumRunner(64, 4, vocab_size=300), None, Letters())
    text = Letters().decode(collect(_run(llm, "hello", ""), [0])[0])
    llm = LLMEngine(ChecksumRunner(64, 4, vocab_size=300), None, Letters())
    records = _run(llm, "hello", text[3:5])
    assert len(collect(records, [0])[0]) == 5
    assert dict(records[-1].finished) == {0: "stop"}
    assert any(f"stop string {text[3:5]!r}" in event.why for event in records[-1].events)


def _run(llm: LLMEngine, prompt: str, stop: str) -> list[Any]:
    params = SamplingParams(temperature=0, max_tokens=8, stop=(stop,) if stop else ())
    llm.add_request(prompt, params)
    return list(llm.run(0))


def test_requests_without_a_seed_get_one_each_that_depends_on_the_engines() -> None:
    def seeds(seed: int) -> list[int]:
        llm = engine(seed=seed)
        return [llm.scheduler.sequence(llm.add_request([1])).seed for _ in range(2)]

    assert len({*seeds(0), *seeds(1)}) == 4
    assert seeds(1) == seeds(1)


def test_requests_are_added_together_or_not_at_all() -> None:
    llm = engine()
    with pytest.raises(RequestError, match="empty"):
        llm.add_requests([([1], GREEDY), ([], GREEDY), ([2], None)])
    with pytest.raises(PromptTooLongError):
        llm.add_requests([([1], GREEDY), ([1] * 500, GREEDY)])
    assert llm.is_new
    assert not llm.has_unfinished_requests()
    seqs = llm.add_requests(zip(PROMPTS, [GREEDY] * 4, strict=True))
    assert [seq.seq_id for seq in seqs] == [0, 1, 2, 3]  # a refused request takes no number
    assert llm.unfinished_seq_ids() == frozenset(range(4))
    finish(llm)
    assert [seq.output_token_ids for seq in seqs] == right_tokens()  # a sequence keeps its tokens
    assert {seq.finish_reason for seq in seqs} == {"length"}


# ------------------------------------------------------------------------------ abort


def test_abort_returns_what_it_freed_and_leaves_the_others_alone() -> None:
    llm = engine()
    seq_ids = add_all(llm)
    llm.step()
    kinds = [type(event).__name__ for event in llm.abort_request(seq_ids[1])]
    assert kinds == ["Finished", "BlocksFreed"]
    right = right_tokens()
    tokens = collect(finish(llm), seq_ids)
    assert [tokens[i] for i in (0, 2, 3)] == [right[i][1:] for i in (0, 2, 3)]
    assert tokens[1] == []


def test_abort_before_the_first_step() -> None:
    llm = engine()
    llm.abort_request(llm.add_request([1, 2]))
    assert not llm.has_unfinished_requests()
    assert list(llm.run()) == []


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_token_in_flight_of_an_aborted_sequence_is_dropped(depth: int) -> None:
    llm = engine()
    seq_ids = add_all(llm)
    records = []
    for record in llm.run(depth):
        if not records:
            assert llm.num_steps_in_flight == depth
            llm.abort_request(seq_ids[0])
        records.append(record)
    assert collect(records, seq_ids)[0] == right_tokens()[0][:1]
    assert collect(records, seq_ids)[1:] == right_tokens()[1:]


@pytest.mark.parametrize("seq_id", [-1, 99, "0", None])
def test_an_unknown_request_is_an_error_that_names_the_known_ones(seq_id: Any) -> None:
    llm = engine()
    llm.add_request([1])
    with pytest.raises(UnknownRequestError, match=r"waiting: \[0\]"):
        llm.abort_request(seq_id)


def test_a_finished_request_cannot_be_aborted() -> None:
    llm = engine()
    seq_id = llm.add_request([1], GREEDY)
    finish(llm)
    with pytest.raises(UnknownRequestError, match="not unfinished"):
        llm.abort_request(seq_id)
