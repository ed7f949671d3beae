"""On a GPU: whole engines. Tokens, block tables, preemption, memory."""

import gc
import random

import pytest
import torch

from nanovllm_edu import LLM, ModelProposer, SamplingParams
from nanovllm_edu.core.events import DraftFailed, DraftVerified

pytestmark = pytest.mark.gpu

SMALL = {"device": "cuda", "max_num_seqs": 16, "max_model_len": 1024, "num_blocks": 64}


def prompts(count=24, longest=300, seed=0):
    rng = random.Random(seed)
    return [[rng.randrange(1000) for _ in range(rng.randint(2, longest))] for _ in range(count)]


def plain(count=24):
    return [
        SamplingParams(temperature=0.8 * (i % 2), seed=i, max_tokens=5 + 3 * i, ignore_eos=True)
        for i in range(count)
    ]


def generate(llm, given, params):
    return llm.generate(given, params, use_tqdm=False)


def tokens_of(llm, given, params):
    return [output.token_ids for output in generate(llm, given, params)]


def assert_right_tokens(llm, given, params):
    """Every token is what the float32 reference says: see `tests/gpu/judge.py`."""
    from tests.gpu.judge import assert_right

    assert_right(llm.engine.runner.model, generate(llm, given, params), params)


@pytest.fixture(params=[256, 16])
def options(request):
    """flash-attn's block size, and one that only our kernels read."""
    return {**SMALL, "block_size": request.param, "num_blocks": 64 * 256 // request.param}


def stepped_and_overlapped(options, given, params):
    with LLM(**options) as stepped, LLM(**options) as overlapped:
        ids = [stepped.engine.add_request(p, s) for p, s in zip(given, params, strict=True)]
        found = {i: [] for i in ids}
        while stepped.engine.has_unfinished_requests():
            for seq_id, tokens in stepped.engine.step().new_tokens.items():
                found[seq_id].extend(tokens)
        return [found[i] for i in ids], tokens_of(overlapped, given, params)


def test_step_and_run_give_the_same_tokens(options):
    """To the bit: all requests start at once, so each step computes the same rows in both."""
    by_step, by_run = stepped_and_overlapped(options, prompts(16), plain(16))
    assert by_step == by_run


@pytest.mark.parametrize("eager", [False, True], ids=["graphs", "eager"])
def test_every_token_is_right_also_when_requests_wait(options, eager):
    with LLM(**options, enforce_eager=eager) as llm:
        assert_right_tokens(llm, prompts(24), plain(24))


def test_filters_and_penalties_outside_of_graphs(options):
    params = [
        SamplingParams(
            temperature=0.9, seed=i, max_tokens=30, ignore_eos=True, top_k=5 * (i % 3),
            top_p=0.9 if i % 2 else 1.0, repetition_penalty=1.2 if i % 5 == 0 else 1.0,
        )
        for i in range(24)
    ]  # fmt: skip
    with LLM(**options) as llm:
        assert_right_tokens(llm, prompts(), params)


def test_filters_alone_are_part_of_the_graph(options):
    params = [
        SamplingParams(
            temperature=0.9 * (i % 4 > 0), seed=i, max_tokens=30, ignore_eos=True,
            top_k=5 * (i % 3), top_p=0.9 if i % 2 else 1.0, min_p=0.02 if i % 5 == 0 else 0.0,
        )
        for i in range(24)
    ]  # fmt: skip
    with LLM(**options) as llm:
        assert_right_tokens(llm, prompts(), params)
        assert not llm.engine.runner._graphs._logits


KINDS = {
    "plain": SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True),
    "filtered": SamplingParams(temperature=2.0, top_k=3, seed=5, max_tokens=12, ignore_eos=True),
    "penalty": SamplingParams(
        temperature=0.0, repetition_penalty=1.5, max_tokens=12, ignore_eos=True
    ),
    "logprobs": SamplingParams(temperature=0.0, logprobs=2, max_tokens=12, ignore_eos=True),
}


def test_who_takes_over_a_row_is_sampled_in_its_own_way(options):
    """One after the other in the same row, each kind behind each other one."""
    from tests.gpu.judge import assert_right

    order = ["plain", "logprobs", "penalty", "filtered", "penalty", "plain", "filtered", "logprobs"]
    with LLM(**options) as llm:
        for seed, kind in enumerate(order):
            params = [KINDS[kind]]
            outputs = generate(llm, prompts(1, 40, seed), params)
            assert_right(llm.engine.runner.model, outputs, params)
            if kind == "logprobs":
                assert len(outputs[0].logprobs) == 12


def test_sequences_that_join_with_one_token(options):
    """Prompts of one token, and one that is cached up to its last token."""
    size = options["block_size"]
    cached = prompts(1, 2)[0][:1] * (size + 1)
    given = [[77], [900], cached]
    with LLM(**options) as llm:
        for _ in range(2):
            for prompt in given:
                assert_right_tokens(llm, [prompt], [KINDS["plain"]])
        assert_right_tokens(llm, given, [KINDS["plain"]] * 3)


def test_the_judge_finds_a_wrong_token():
    """Or it would prove nothing: one token of one answer is replaced by its neighbour."""
    from tests.gpu.judge import assert_right

    given, params = prompts(2, 40), plain(2)
    with LLM(**SMALL, block_size=256) as llm:
        outputs = generate(llm, given, params)
        outputs[1].token_ids[3] += 1
        with pytest.raises(AssertionError, match=r"request 1: .*\(3, "):
            assert_right(llm.engine.runner.model, outputs, params)


class Spoilt:
    """Guesses the right continuations, every third time with a mistake."""

    def __init__(self):
        self.right, self.num_asked = {}, 0

    def propose(self, token_ids, num_tokens):
        self.num_asked += 1
        for answer in self.right.get(tuple(token_ids[:2]), ()):
            if tuple(token_ids) == answer[: len(token_ids)]:
                guess = list(answer[len(token_ids) :][: min(num_tokens, 4)])
                if guess and self.num_asked % 3 == 0:
                    guess[-1] = (guess[-1] + 1) % 1000
                return guess
        return ()


def test_guesses_change_no_token(options):
    given, params, proposer = prompts(), plain(), Spoilt()
    with LLM(**options) as plainly, LLM(**options, draft_proposer=proposer) as llm:
        for prompt, tokens in zip(given, tokens_of(plainly, given, params), strict=True):
            proposer.right.setdefault(tuple(prompt[:2]), []).append((*prompt, *tokens))
        assert_right_tokens(llm, given, params)
    assert proposer.num_asked > 0


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_small_model_guesses_on_a_gpu_too(options, temperature):
    """As often right as on a CPU: it is asked at each step, and answers from graphs of its own."""
    proposer = ModelProposer(device="cuda", max_num_seqs=8, num_blocks=256)
    given = ["Once upon a time", "What is a KV cache?", "Who lives in Willow Bay?"]
    params = [
        SamplingParams(temperature=temperature, seed=i, max_tokens=40, ignore_eos=True)
        for i in range(3)
    ]
    with LLM(**options, draft_proposer=proposer) as llm:
        assert_right_tokens(llm, given, params)
        llm.engine.add_requests(zip(given, params, strict=True))
        events = [event for record in llm.engine.run(1) for event in record.events]
    assert not [event for event in events if isinstance(event, DraftFailed)]
    verified = [event for event in events if isinstance(event, DraftVerified)]
    assert sum(e.num_accepted for e in verified) > 0.4 * sum(len(e.drafted) for e in verified)
    assert len(verified) < 70  # for 120 tokens
    assert proposer.llm.engine.runner._graphs._sampled
    proposer.close()


@pytest.mark.parametrize(
    "unusual",
    [
        {"model": "tiny-draft"},
        {"attention_backend": "sdpa", "dtype": "float32"},
        {"block_size": 2, "dtype": "float32"},
    ],
    ids=str,
)
def test_a_model_or_a_cache_that_the_fused_kernels_do_not_fit(unusual):
    """Heads of 32 numbers from graphs without fused kernels; other attention without graphs."""
    kinds = list(KINDS.values())
    with LLM(**{**SMALL, "block_size": 16, "num_blocks": 2048, **unusual}) as llm:
        assert_right_tokens(llm, prompts(8, 100), [kinds[i % 4] for i in range(8)])


def test_the_devices_block_tables_are_those_of_the_sequences(options):
    with LLM(**options) as llm:
        engine = llm.engine
        for prompt, params in zip(prompts(), plain(), strict=True):
            engine.add_request(prompt, params)
        while engine.has_unfinished_requests():
            engine.step()
            mirror = engine.runner.tables.block_tables.tolist()
            for seq in engine.scheduler.running.values():
                assert mirror[seq.row][: len(seq.block_table)] == seq.block_table


def test_preemption_changes_no_token():
    given, params = prompts(longest=200), plain()
    with LLM(**{**SMALL, "block_size": 16, "num_blocks": 70}) as scarce:
        from tests.gpu.judge import assert_right

        outputs = generate(scarce, given, params)
        assert sum(output.metrics.num_preemptions for output in outputs) > 0
        assert_right(scarce.engine.runner.model, outputs, params)


def test_prefix_hits_change_no_token(options):
    rng = random.Random(1)
    shared = [rng.randrange(1000) for _ in range(512)]
    given = [shared + tail for tail in prompts(12, 40)]
    with LLM(**options) as warm:
        for _ in range(2):
            assert_right_tokens(warm, given, plain(12))


def test_two_engines_and_their_memory():
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    given, params = prompts(8), plain(8)
    big = {**SMALL, "block_size": 256, "num_blocks": 512}
    first, second = LLM(**big), LLM(**big)
    assert tokens_of(first, given, params) == tokens_of(second, given, params)
    cache_bytes = first.engine.runner.kv_cache.data.nbytes
    assert torch.cuda.memory_allocated() - before > 2 * cache_bytes
    first.close()
    second.close()
    del first, second
    gc.collect()
    assert torch.cuda.memory_allocated() - before < cache_bytes / 10
