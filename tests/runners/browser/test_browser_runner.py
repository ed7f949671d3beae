"""The runner without torch: the tokens of the CPU engine, and all of the step protocol."""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from nanovllm_edu import LLM, EngineConfig, LLMEngine, NgramProposer, SamplingParams
from nanovllm_edu.core.plan import BlockCopy, BlockRef, BlockUpdate, Joined, Span, Spans, StepPlan
from nanovllm_edu.errors import EngineClosedError, OutOfDeviceMemoryError
from nanovllm_edu.live.engine import make_decoder, make_engine
from nanovllm_edu.runners.browser.runner import BrowserRunner
from nanovllm_edu.sampling.rows import BROKEN_LOGITS

TEXTS = ["Once upon a time", "What is a KV cache?", "1 2 3 4 1 2 3 4 1 2", "la la la la", "é😀 <"]
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
PARAMS = [
    GREEDY,
    SamplingParams(seed=1, max_tokens=24, ignore_eos=True, logprobs=2),
    SamplingParams(seed=2, temperature=0.8, top_k=9, top_p=0.9, max_tokens=20),
    SamplingParams(
        seed=3, temperature=0.7, repetition_penalty=1.2, presence_penalty=0.3, max_tokens=24
    ),
    SamplingParams(seed=4, min_p=0.05, max_tokens=24, stop=("e t", "s."), min_tokens=4),
]
WAYS: dict[str, dict[str, Any]] = {
    "batched": {"num_blocks": 64},
    "chunked": {"num_blocks": 64, "max_num_batched_tokens": 7},
    "preempted": {"num_blocks": 14, "block_size": 4},
    "small blocks, a tree of prefixes": {
        "num_blocks": 300,
        "block_size": 1,
        "prefix_cache": "radix",
    },
    "with guesses": {"num_blocks": 64, "draft_proposer": NgramProposer()},
}


@pytest.fixture(scope="module")
def right() -> Iterator[list[Any]]:
    """The outputs of the CPU engine, each request alone."""
    with LLM(device="cpu", num_blocks=64) as llm:
        yield [
            llm.generate(text, params, use_tqdm=False)[0]
            for text, params in zip(TEXTS, PARAMS, strict=True)
        ]


def run(engine: LLMEngine, depth: int = 0) -> list[Any]:
    seqs = engine.add_requests(zip(TEXTS, PARAMS, strict=True))
    for _ in engine.run(depth):
        engine.scheduler.check_invariants()
    return seqs


@pytest.mark.parametrize("way", WAYS)
def test_tokens_are_those_of_the_cpu_engine(way: str, right: list[Any]):
    seqs = run(make_engine("model", **WAYS[way]), depth=len(way) % 2)
    assert [seq.output_token_ids for seq in seqs] == [output.token_ids for output in right]
    assert [seq.finish_reason for seq in seqs] == [output.finish_reason for output in right]
    for mine, expected in zip(seqs[1].logprobs, right[1].logprobs, strict=True):
        assert mine.logprob == pytest.approx(expected.logprob, abs=1e-4)
        assert [token for token, _ in mine.top] == [token for token, _ in expected.top]


def test_a_fork_goes_on_alone_and_one_with_other_blocks_begins_anew(right: list[Any]):
    engine = make_engine("model", num_blocks=32)
    seq_id = engine.add_request(TEXTS[0], PARAMS[0])
    for _ in range(6):
        engine.step()
    twins = [engine.fork(), engine.fork(num_blocks=40, block_size=4)]
    for one in (*twins, engine):
        seq = one.scheduler.sequence(seq_id)
        list(one.run())
        assert seq.output_token_ids == right[0].token_ids


# ------------------------------------------------------------------ plans written by hand


def new_runner(**options: Any) -> BrowserRunner:
    return BrowserRunner(make_decoder(), num_blocks=12, block_size=4, **options)


def joined(token_ids: Sequence[int], row: int) -> Joined:
    return Joined(row, row, tuple(token_ids), 5, GREEDY, 0)


def launch(runner: BrowserRunner, *spans: Span, **rest: Any) -> dict[int, tuple[int, ...]]:
    return dict(runner.launch(StepPlan(0, Spans(spans), **rest)).wait().tokens)


def started(**options: Any) -> tuple[BrowserRunner, list[int]]:
    """A prompt in blocks 3 and 1; its tokens and the first new one."""
    runner, prompt = new_runner(**options), [100, 200, 300, 400, 500]
    updates = (BlockUpdate(0, 0, 0, (3, 1)),)
    tokens = launch(runner, Span(0, 0, 0, 5), joined=(joined(prompt, 0),), block_updates=updates)
    return runner, [*prompt, *tokens[0]]


def test_copied_blocks_are_read_through_another_row():
    runner, known = started()
    copies = tuple(BlockCopy(BlockRef(0, a), BlockRef(0, b)) for a, b in ((3, 7), (1, 9)))
    tokens = launch(
        runner, Span(0, 0, 5, 1), Span(1, 1, 5, 1), joined=(joined(known, 1),),
        block_updates=(BlockUpdate(0, 1, 0, (7, 9)),), copies=copies,
    )  # fmt: skip
    assert tokens[0] == tokens[1]


def test_blocks_go_to_the_host_and_come_back_elsewhere():
    runner, known = started(num_host_blocks=2)
    right = launch(runner.fork(), Span(0, 0, 5, 1))[0]
    out = tuple(BlockCopy(BlockRef(0, a), BlockRef(1, b)) for a, b in ((3, 1), (1, 0)))
    launch(  # another sequence takes the blocks, after their content has gone out
        runner, Span(1, 1, 0, 5), joined=(joined([9, 8, 7, 6, 5], 1),), left=(0,),
        block_updates=(BlockUpdate(0, 1, 0, (3, 1)),), copies=out,
    )  # fmt: skip
    back = tuple(BlockCopy(BlockRef(1, a), BlockRef(0, b)) for a, b in ((1, 6), (0, 7)))
    tokens = launch(
        runner, Span(2, 2, 5, 1), joined=(joined(known, 2),),
        block_updates=(BlockUpdate(0, 2, 0, (6, 7)),), copies=back,
    )  # fmt: skip
    assert tokens[2] == right


def test_guesses_count_up_to_the_first_wrong_one():
    runner, known = started()
    twin, update = runner.fork(), (BlockUpdate(0, 0, 2, (2,)),)
    right = [launch(twin, Span(0, 0, position, 1))[0][0] for position in range(5, 8)]
    assert len(set(right)) > 1
    guesses = (known[5], right[0], right[1], right[2] + 1)
    tokens = launch(runner, Span(0, 0, 5, 4, guesses, num_drafted=3), block_updates=update)[0]
    assert tokens == tuple(right)
    assert launch(runner, Span(0, 0, 8, 1)) == launch(twin, Span(0, 0, 8, 1), block_updates=update)


def test_a_row_without_numbers_ends_alone(monkeypatch: pytest.MonkeyPatch):
    engine = make_engine("model", num_blocks=32)
    seqs = engine.add_requests([(text, GREEDY) for text in TEXTS[:2]])
    engine.step()
    decoder, forward = engine.runner.decoder, engine.runner.decoder.logits

    def broken(step: Any, cache: Any) -> "array[float]":
        scores = forward(step, cache)
        scores[engine.runner.vocab_size + 7] = float("nan")
        return scores

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "logits", broken)
        record = engine.step()
    assert BROKEN_LOGITS in str(record.events)
    list(engine.run())
    assert [seq.finish_reason for seq in seqs] == ["length", "error"]


def test_after_closing_nothing_runs():
    engine = make_engine("model")
    engine.runner.close()
    engine.runner.close()
    engine.add_request("a")
    with pytest.raises(EngineClosedError):
        engine.step()


def test_a_cache_that_does_not_fit_is_refused_with_its_size():
    with pytest.raises(OutOfDeviceMemoryError, match=r"[\d,]{15,} bytes.*lower num_blocks"):
        BrowserRunner(make_decoder(), num_blocks=2**50)


def test_an_engine_keeps_to_the_models_positions():
    with pytest.raises(ValueError, match="max_model_len"):
        LLMEngine(BrowserRunner(make_decoder(), 600), EngineConfig(max_model_len=5000))


@pytest.mark.parametrize("depth", [0, 1])
def test_several_answers_share_a_prompt_and_are_those_of_the_cpu_engine(depth: int):
    params = SamplingParams(n=4, seed=3, max_tokens=12)
    with LLM(device="cpu", num_blocks=64) as llm:
        right = llm.generate(TEXTS[0], params, use_tqdm=False)[0].outputs
    engine = make_engine("model", num_blocks=64, block_size=4)
    seqs = engine.add_requests([(TEXTS[0], params)])
    records = list(engine.run(depth))
    assert any(record.plan.copies for record in records)
    assert [seq.output_token_ids for seq in seqs] == [one.token_ids for one in right]
