"""Small decode steps from a tape: the same as step by step, to the last bit, and never stale."""

from typing import Any, cast

import pytest
import torch

from nanovllm_edu import LLM, NgramProposer, SamplingParams
from nanovllm_edu.native.gemm import NativeGemm
from nanovllm_edu.native.ops import why_unavailable
from nanovllm_edu.native.tape import Tape
from nanovllm_edu.runners.eager import EagerRunner
from nanovllm_edu.runners.small_steps import MOST_TOKENS
from nanovllm_edu.runners.taped import TapeRunner
from nanovllm_edu.sampling.sampler import Sampler

pytestmark = pytest.mark.skipif(
    bool(why_unavailable(torch.device("cpu"), torch.float32)), reason="no C compiler"
)
GREEDY = SamplingParams(temperature=0, max_tokens=20, ignore_eos=True)
PARAMS = SamplingParams(temperature=0.7, seed=3, max_tokens=20, ignore_eos=True, logprobs=2)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each step from a tape."""
    steps: list[int] = []
    play = Tape.play

    def watched(tape: Tape) -> None:
        steps.append(tape.num_jobs)
        play(tape)

    monkeypatch.setattr(Tape, "play", watched)
    return steps


def engine(**options: Any) -> LLM:
    return LLM(device="cpu", num_blocks=256, **options)


def answers(llm: LLM, count: int = 1, *params: SamplingParams) -> list[Any]:
    """Tokens and log probabilities, of prompts of different lengths."""
    prompts = [[300 + 7 * i + j for j in range(3 + 5 * (i % 6))] for i in range(count)]
    each = [(params or (PARAMS,))[i % len(params or "1")] for i in range(count)]
    outputs = llm.generate(prompts, each, use_tqdm=False)
    return [(output.token_ids, output.logprobs) for output in outputs]


@pytest.mark.parametrize("weights", ["auto", "int8"])
@pytest.mark.parametrize("count", [1, 3, MOST_TOKENS, MOST_TOKENS + 1])
def test_equals_the_eager_runner(count: int, weights: str, played: list[int]) -> None:
    options: dict[str, Any] = {"max_num_seqs": count}
    if weights != "auto":
        options["weight_dtype"] = weights
    with engine(**options) as llm, engine(enforce_eager=True, **options) as eager:
        assert type(llm.engine.runner) is TapeRunner
        assert type(eager.engine.runner) is EagerRunner
        for params in ([PARAMS], [GREEDY], [GREEDY, PARAMS]):
            expected = answers(eager, count, *params)
            played.clear()
            assert answers(llm, count, *params) == expected
            num_steps = GREEDY.max_tokens - (count > 1)  # one short prompt is played too
            assert len(played) == num_steps * (count <= MOST_TOKENS)


@pytest.mark.parametrize("length", [16, 17, 18, 19])
def test_the_rest_of_a_cached_prompt_is_played(length: int, played: list[int]) -> None:
    """One to three tokens of each, of which the last is sampled from; beside who has begun."""
    prompts = [[*range(300, 316), *range(400 + 9 * i, 400 + 9 * i + length - 16)] for i in range(6)]
    with engine() as llm, engine(enforce_eager=True) as eager:
        told = []
        for one in (llm, eager):
            one.generate([[*range(300, 316), 7]], GREEDY, use_tqdm=False)  # its block is cached now
            played.clear()
            seqs = one.engine.add_requests((prompt, PARAMS) for prompt in prompts[:3])
            one.engine.step()
            seqs += one.engine.add_requests((prompt, GREEDY) for prompt in prompts[3:])
            records = list(one.engine.run())
            told.append([(seq.output_token_ids, seq.logprobs) for seq in seqs])
            if one is llm and length > 16:
                assert len(played) == 1 + len(records)
    assert told[0] == told[1]


def test_sequences_that_end_one_by_one(played: list[int]) -> None:
    """Each size has a tape of its own, and all of them share their memory."""
    with engine() as llm, engine(enforce_eager=True) as eager:
        lengths = [
            SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in range(3, 9)
        ]
        for _ in range(2):
            assert answers(llm, 12, *lengths) == answers(eager, 12, *lengths)
        tapes = cast(Any, llm.engine.runner)._tapes
        assert sorted(tapes._steps) == [1, 2, 4, 6, 8, 10, 12]
        assert tapes._room.num_bytes < 1.1 * (1 << 20), "more than a layer of twelve tokens needs"


def test_what_edits_logits_is_seen_by_the_next_step(played: list[int]) -> None:
    """Penalties and forbidden runs look at tokens that a step before has chosen."""
    edits = [
        SamplingParams(temperature=0, max_tokens=20, ignore_eos=True, **options)
        for options in (
            {"repetition_penalty": 1.5},
            {"frequency_penalty": 0.7, "presence_penalty": 0.2},
            {"logit_bias": {400: 3.0}},
            {},
        )
    ]
    with engine() as llm, engine(enforce_eager=True) as eager:
        assert answers(llm, 8, *edits) == answers(eager, 8, *edits)
    assert played


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_no_numbers_end_their_row_alone(number: float, played: list[int]) -> None:
    """A token whose vector is broken is said by one of two: only that one ends."""
    prompts = [[310, 311], [500, 501]]
    with engine() as llm, engine(enforce_eager=True) as eager:
        told = []
        for one in (llm, eager):
            model = cast(Any, one.engine.runner).model
            said = [set(o.token_ids) for o in one.generate(prompts, GREEDY, use_tqdm=False)]
            head = type(model.embed_tokens)(*model.embed_tokens.weight.shape, dtype=torch.float32)
            with torch.no_grad():
                head.weight.copy_(model.embed_tokens.weight)
                head.requires_grad_(False)
                head.gemm, model.lm_head = NativeGemm(), head
                model.embed_tokens.weight[min(said[0] - said[1])] = number
            one.engine.add_requests((prompt, GREEDY) for prompt in prompts)
            told.append([(record.new_tokens, record.finished) for record in one.engine.run()])
    assert told[0] == told[1]
    reasons = [reason for _, finished in told[0] for reason in finished.values()]
    assert sorted(reasons) == ["error", "length"]


def test_a_model_that_cannot_be_on_a_tape_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "played from a tape (up to 64 tokens" in str(engine().info)

    def computed(self: Any, x: torch.Tensor, *_: Any) -> torch.Tensor:
        return x @ _[0].T

    monkeypatch.setattr(NativeGemm, "__call__", computed)
    with engine() as llm, engine(enforce_eager=True) as eager:
        assert "cannot be played from a tape: torch computes" in str(llm.info)
        assert answers(llm, 3) == answers(eager, 3)


@pytest.mark.parametrize("count", [1, 4, 8])
def test_guesses_are_verified_from_a_tape(count: int, played: list[int]) -> None:
    """Several tokens of a sequence, more in one step than in the next; with 8, often too many."""
    guesses = {"draft_proposer": NgramProposer(4, min_match=1)}
    with engine(**guesses) as llm, engine(enforce_eager=True, **guesses) as eager:
        seqs, told = [], []
        for one in (llm, eager):
            prompts = [([300, 301, 302, 303 + i] * 4, GREEDY) for i in range(count)]
            seqs.append(one.engine.add_requests(prompts))
            told = list(one.engine.run())
        tokens = [[seq.output_token_ids for seq in each] for each in seqs]
        assert tokens[0] == tokens[1]
    sizes = [record.plan.num_tokens for record in told[1:]]  # the first step computes the prompts
    assert max(sizes) > count, "nothing was guessed"
    assert len(played) == sum(size <= MOST_TOKENS for size in sizes)


def test_preempted_sequences_too(played: list[int]) -> None:
    with LLM(num_blocks=12, device="cpu") as few, engine(enforce_eager=True) as eager:
        expected = answers(eager, 4)
        assert answers(few, 4) == expected
    assert played


def test_a_weight_that_changes_is_seen(played: list[int]) -> None:
    """Written in place, or another one; of a matrix, or of a norm."""
    with engine() as llm, engine(enforce_eager=True) as eager:
        for one in (llm, eager):
            answers(one)
        before = len(played)
        layers = [cast(Any, one.engine.runner).model.layers[0] for one in (llm, eager)]
        with torch.no_grad():
            for layer in layers:
                layer.mlp.down_proj.weight.mul_(-2)
        assert answers(llm) == answers(eager)
        for layer in layers:
            weight = layer.input_layernorm.weight
            layer.input_layernorm.weight = torch.nn.Parameter(weight * 3, requires_grad=False)
        assert answers(llm) == answers(eager)
        layers[0].mlp, layers[1].mlp = layers[1].mlp, layers[0].mlp
        assert answers(llm) == answers(eager)
        assert len(played) > before


def test_a_sampler_of_ones_own_is_asked(played: list[int]) -> None:
    asked: list[int] = []

    class Own(Sampler):
        def choose(self, logits: torch.Tensor, params: Any) -> torch.Tensor:
            asked.append(len(logits))
            return torch.full((len(logits),), 400)

    with engine() as llm:
        cast(Any, llm.engine.runner)._sampler = Own()
        outputs = llm.generate([[300], [301]], GREEDY, use_tqdm=False)
    assert [output.token_ids for output in outputs] == [[400] * 20] * 2
    assert asked == [2] * 20
    assert played


def test_a_hook_is_called(played: list[int]) -> None:
    with engine() as llm:
        expected, seen = answers(llm), []
        before = len(played)
        hook = (
            cast(Any, llm.engine.runner)
            .model.layers[1]
            .register_forward_hook(lambda *_: seen.append(1))
        )
        assert answers(llm) == expected
        assert len(seen) == PARAMS.max_tokens
        assert len(played) == before
        hook.remove()
        assert answers(llm) == expected
        assert len(played) > before


def test_packing_leaves_the_cache_empty():
    with LLM(num_blocks=8) as llm:
        assert isinstance(llm.engine.runner, TapeRunner)
        assert not llm.engine.runner.kv_cache.data.any()
