"""The eager runner executes all of the step protocol: copies, guesses, other ways of sampling."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import DraftVerified
from nanovllm_edu.core.plan import (
    BlockCopy,
    BlockRef,
    BlockUpdate,
    Joined,
    SamplingUpdate,
    Span,
    Spans,
    StepPlan,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence as Request
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.runners.eager import EagerRunner

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
PROMPT = (5, 6, 7, 8, 9)
VOCAB_SIZE = 60


@pytest.fixture(scope="module")
def model() -> Qwen3ForCausalLM:
    torch.manual_seed(3)
    config = ModelConfig(
        architecture="Qwen3ForCausalLM", vocab_size=VOCAB_SIZE, hidden_size=32, num_layers=2,
        num_heads=4, num_kv_heads=2, head_dim=16, intermediate_size=48,
        max_position_embeddings=128, tie_word_embeddings=True, qk_norm=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if parameter.dim() > 1 else 1.0)
    return model


def make_runner(model: Qwen3ForCausalLM, **options: Any) -> EagerRunner:
    sizes = {"num_blocks": 24, "block_size": 4, "max_num_seqs": 4, "max_model_len": 96, **options}
    return EagerRunner.build(model, ReferenceAttention(), **sizes)


def joined(token_ids: tuple[int, ...], row: int = 0, **sampling: Any) -> Joined:
    return Joined(row, row, token_ids, len(PROMPT), replace(GREEDY, **sampling), 0)


def launch(runner: EagerRunner, *spans: Span, **rest: Any) -> dict[int, tuple[int, ...]]:
    """Launches a plan; returns its tokens by sequence."""
    return dict(runner.launch(StepPlan(0, Spans(spans), **rest)).wait().tokens)


def started(model: Qwen3ForCausalLM, **options: Any) -> tuple[EagerRunner, int]:
    """The prompt is in blocks 3 and 1; its first token."""
    runner = make_runner(model, **options)
    updates = (BlockUpdate(0, 0, 0, (3, 1)),)
    tokens = launch(runner, Span(0, 0, 0, 5), joined=(joined(PROMPT),), block_updates=updates)
    return runner, tokens[0][0]


# --------------------------------------------------------------------------------- copies


def test_a_copied_block_is_read_through_another_row(model: Qwen3ForCausalLM) -> None:
    runner, first = started(model)
    copies = (
        BlockCopy(BlockRef(0, 3), BlockRef(0, 7)),
        BlockCopy(BlockRef(0, 1), BlockRef(0, 9)),
    )
    tokens = launch(
        runner,
        Span(0, 0, 5, 1),
        Span(1, 1, 5, 1),
        joined=(joined((*PROMPT, first), row=1),),
        block_updates=(BlockUpdate(0, 1, 0, (7, 9)),),
        copies=copies,
    )
    assert tokens[0] == tokens[1]
    assert runner.kv_cache is not None
    data = runner.kv_cache.data
    assert torch.equal(data[:, :, 3], data[:, :, 7])
    assert data[:, :, 3].any()


def test_a_block_goes_to_the_host_and_comes_back_into_another_one(model: Qwen3ForCausalLM) -> None:
    runner, first = started(model, num_host_blocks=2)
    right = launch(runner.fork(), Span(0, 0, 5, 1))[0]
    out = (BlockCopy(BlockRef(0, 3), BlockRef(1, 1)), BlockCopy(BlockRef(0, 1), BlockRef(1, 0)))
    launch(  # another one writes to the blocks, after their content has gone out
        runner,
        Span(1, 1, 0, 5),
        joined=(joined((9, 8, 7, 6, 5), row=1),),
        left=(0,),
        block_updates=(BlockUpdate(0, 1, 0, (3, 1)),),
        copies=out,
    )
    back = (BlockCopy(BlockRef(1, 1), BlockRef(0, 6)), BlockCopy(BlockRef(1, 0), BlockRef(0, 7)))
    tokens = launch(
        runner,
        Span(2, 2, 5, 1),
        joined=(joined((*PROMPT, first), row=2),),
        block_updates=(BlockUpdate(0, 2, 0, (6, 7)),),
        copies=back,
    )
    assert tokens[2] == right


# -------------------------------------------------------------------------------- guesses


class Oracle:
    """Knows how each of some texts goes on; every so often a guess is spoiled.

    Args:
        texts: Whole token sequences.
        every: One guess in so many is wrong; 0: none, 1: all.
    """

    def __init__(self, texts: list[list[int]], every: int) -> None:
        self.texts, self.every = texts, every

    def propose(self, token_ids: Sequence[int], num_tokens: int) -> list[int]:
        known = list(token_ids)
        text = next((t for t in self.texts if t[: len(known)] == known), known)
        guesses = text[len(known) : len(known) + min(num_tokens, 5)]
        for i in range(len(guesses)):
            if self.every and (len(known) + i) % self.every == 0:
                guesses[i] = (guesses[i] + 1) % VOCAB_SIZE
        return guesses


PROMPTS = [[1, 2, 3, 4, 5], [9, 8, 7], [1, 2, 3, 4, 5, 6, 7, 8, 9], [30]]
NUCLEUS = SamplingParams(
    temperature=0.9, top_p=0.9, repetition_penalty=1.3, logprobs=2, max_tokens=24, ignore_eos=True
)
WAYS = {
    "greedy": [GREEDY] * 4,
    "sampled, filtered and penalized": [replace(NUCLEUS, seed=i) for i in range(4)],
    "of both kinds": [GREEDY, replace(NUCLEUS, seed=1)] * 2,
}


def generate(
    model: Qwen3ForCausalLM, params: list[SamplingParams], every: int | None, depth: int = 0,
    **options: Any,
) -> tuple[list[Request], list[DraftVerified]]:  # fmt: skip
    """The sequences that these requests become, and what became of the guesses."""
    proposer = None
    if every is not None:
        plain, _ = generate(model, params, None)
        proposer = Oracle([list(seq.token_ids) for seq in plain], every)
    options = {"num_blocks": 64, **options}
    runner = make_runner(model, num_blocks=options["num_blocks"])
    config = EngineConfig(block_size=4, max_num_seqs=4, draft_proposer=proposer, **options)
    engine = LLMEngine(runner, config)
    seqs = engine.add_requests(zip(PROMPTS, params, strict=True))
    records = []
    for record in engine.run(depth):
        records.append(record)
        engine.scheduler.check_invariants()
    events = [e for record in records for e in record.events if isinstance(e, DraftVerified)]
    assert engine.scheduler.block_manager.num_free_blocks == options["num_blocks"]
    return seqs, events


@pytest.mark.parametrize("every", [0, 1, 3], ids=["right", "wrong", "half right"])
@pytest.mark.parametrize("params", WAYS.values(), ids=WAYS)
def test_guessing_equals_plain_decoding_token_for_token(
    model: Qwen3ForCausalLM, params: list[SamplingParams], every: int
) -> None:
    plain, _ = generate(model, params, None)
    guessed, verified = generate(model, params, every)
    assert [s.output_token_ids for s in guessed] == [s.output_token_ids for s in plain]
    for one, other in zip(guessed, plain, strict=True):
        assert [entry.token_id for entry in one.logprobs] == [e.token_id for e in other.logprobs]
        for entry, right in zip(one.logprobs, other.logprobs, strict=True):
            assert entry.logprob == pytest.approx(right.logprob, abs=1e-4)
            assert [i for i, _ in entry.top] == [i for i, _ in right.top]
    num_drafted = sum(len(event.drafted) for event in verified)
    num_accepted = sum(event.num_accepted for event in verified)
    if every == 0:
        assert num_accepted == num_drafted > 50
    elif every == 1:
        assert num_drafted > num_accepted == 0
    else:
        assert 0 < num_accepted < num_drafted


@pytest.mark.parametrize(
    "options",
    [
        {"num_blocks": 18},
        {"max_num_batched_tokens": 7},
        {"prefix_cache": "radix"},
        {"depth": 1},
        {"depth": 2, "num_blocks": 18},
    ],
    ids=str,
)
def test_guessing_equals_plain_decoding_whatever_happens_around_it(
    model: Qwen3ForCausalLM, options: dict[str, Any]
) -> None:
    params = WAYS["of both kinds"]
    plain, _ = generate(model, params, None)
    guessed, verified = generate(model, params, 3, **options)
    assert verified
    assert [s.output_token_ids for s in guessed] == [s.output_token_ids for s in plain]


def test_right_guesses_settle_several_tokens_in_one_step(model: Qwen3ForCausalLM) -> None:
    seqs, verified = generate(model, WAYS["greedy"], 0)
    num_tokens = sum(len(seq.output_token_ids) for seq in seqs)
    num_steps_of_each = sum(event.num_accepted + 1 for event in verified)
    assert num_steps_of_each == num_tokens - len(seqs)  # all but each first token
    assert len(verified) < num_tokens / 3


# ------------------------------------------------------------------------------- the rest


def test_another_way_of_sampling_holds_from_its_step_on(model: Qwen3ForCausalLM) -> None:
    hot = replace(GREEDY, temperature=5.0)
    device, first = started(model)
    update = (SamplingUpdate(0, 0, hot),)
    warm = launch(device, Span(0, 0, 5, 1), sampling_updates=update)[0]
    fresh = make_runner(model)
    right = launch(
        fresh,
        Span(0, 0, 0, 6),
        joined=(joined((*PROMPT, first), temperature=5.0),),
        block_updates=(BlockUpdate(0, 0, 0, (0, 1)),),
    )[0]
    cold, _ = started(model)
    assert warm == right
    assert warm != launch(cold, Span(0, 0, 5, 1))[0]


def test_a_plan_without_work_still_tells_its_news(model: Qwen3ForCausalLM) -> None:
    runner, _ = started(model)
    assert launch(runner, left=(0,), joined=(joined(PROMPT, row=2),)) == {}
    assert runner.tables is not None
    assert list(runner.tables.rows) == [2]
