"""On a GPU: prompts in chunks beside rows that decode, from graphs; and a row without numbers."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from nanovllm_edu import LLM, NgramProposer, SamplingParams
from nanovllm_edu.runners import cuda_graph, parts

pytestmark = pytest.mark.gpu

SMALL = {"device": "cuda", "max_model_len": 1024, "max_num_seqs": 8, "max_num_batched_tokens": 96}
KINDS = [{}, {"top_k": 5}, {"top_p": 0.8}, {"repetition_penalty": 1.3}, {"logprobs": 2}]


@pytest.fixture(params=[256, 16])
def options(request):
    """flash-attn's block size, and one that only our kernels read."""
    return {**SMALL, "block_size": request.param, "num_blocks": 32 * 256 // request.param}


@pytest.fixture(params=[2048, 0], ids=["ride along", "apart"])
def replayed(request, monkeypatch):
    """Which graphs the steps took, with decode rows in the prefill graph or beside it."""
    found, parts_of = Counter(), parts.parts_of

    def noted(plan, longest_rider):
        both = parts_of(plan, request.param)
        found[both and (bool(both.decode), bool(both.prefill))] += 1
        return both

    monkeypatch.setattr(cuda_graph, "parts_of", noted)
    found["apart"] = request.param == 0
    return found


def prompts(count, seed=0):
    """Random ones, of which some share their first 300 tokens."""
    rng = random.Random(seed)
    shared = [rng.randrange(1000) for _ in range(300)]
    lengths = [rng.randint(1, 250) for _ in range(count)]
    own = [[rng.randrange(1000) for _ in range(length)] for length in lengths]
    return [shared * (i % 3 == 0) + tokens for i, tokens in enumerate(own)]


def params(count, kinds):
    rng = random.Random(1)
    return [
        SamplingParams(
            temperature=0.8 * (i % 4 > 0), seed=i, max_tokens=rng.randint(2, 24), ignore_eos=True,
            **kinds[i % len(kinds)],
        )
        for i in range(count)
    ]  # fmt: skip


def assert_right_tokens(llm, given, wanted):
    from tests.gpu.judge import assert_right

    outputs = llm.generate(given, wanted, use_tqdm=False)
    assert_right(llm.engine.runner.model, outputs, wanted)


@pytest.mark.parametrize("kinds", [KINDS[:1], KINDS[:3], KINDS], ids=["plain", "filtered", "all"])
def test_every_token_is_right_while_prompts_come_in_chunks(options, replayed, kinds):
    with LLM(**options) as llm:
        assert_right_tokens(llm, prompts(30), params(30, kinds))
    assert replayed[True, False]  # decode alone
    assert replayed[False, True]
    assert replayed[True, True] or not replayed["apart"]
    assert not replayed[None]


def test_guesses_are_verified_in_graphs(options, replayed):
    with LLM(**options, draft_proposer=NgramProposer()) as llm:
        given = [[7, 8, 9, 10 + i] * 12 for i in range(12)]
        assert_right_tokens(llm, given, params(12, KINDS[:1]))
    assert replayed[False, True]


@pytest.mark.parametrize("kind", KINDS[:4], ids=str)
@pytest.mark.parametrize("width", [1, 5])
def test_a_row_without_numbers_ends_alone(options, kind, width):
    """Its keys and values are no numbers: so are its logits, in a decode graph."""
    from tests.gpu.judge import assert_right

    wanted = [
        SamplingParams(temperature=0.7, seed=i, max_tokens=20, ignore_eos=True, **kind)
        for i in range(width + 1)
    ]
    with LLM(**options) as llm:
        engine = llm.engine
        seqs = engine.add_requests(list(zip(prompts(width + 1, seed=5), wanted, strict=True)))
        while not all(seq.output_token_ids for seq in seqs):
            engine.step()
        broken = seqs[-1]
        engine.runner.kv_cache.data[:, :, list(broken.block_table)] = float("nan")
        ends = {i: why for record in engine.run(1) for i, why in record.finished.items()}
        assert ends == {s.seq_id: "error" if s is broken else "length" for s in seqs}
        outputs = [llm_output(seq) for seq in seqs[:-1]]
        assert_right(engine.runner.model, outputs, wanted[:-1])
        again = llm.generate(prompts(3, seed=9), wanted[:1] * 3, use_tqdm=False)
        assert_right(engine.runner.model, again, wanted[:1] * 3)  # its blocks are clean again


def llm_output(seq):
    """What the judge reads of an output."""
    return SimpleNamespace(
        request_id=seq.seq_id,
        prompt_token_ids=list(seq.token_ids[: seq.num_prompt_tokens]),
        token_ids=list(seq.output_token_ids),
    )


def test_who_finds_keys_that_are_no_numbers_ends_alone_too():
    """In a prefill graph."""
    with LLM(**{**SMALL, "block_size": 16, "num_blocks": 512}) as llm:
        engine, prompt = llm.engine, list(range(40))
        (first,) = engine.add_requests([(prompt, SamplingParams(max_tokens=1))])
        engine.step()
        blocks = [entry.block_ids for entry in engine.newest_record.plan.block_updates]
        engine.runner.kv_cache.data[:, :, list(blocks[0])] = float("nan")
        params = SamplingParams(temperature=0.7, seed=0, max_tokens=4, ignore_eos=True)
        other, finder = engine.add_requests([(list(range(50, 99)), params), ([*prompt, 7], params)])
        ends = {i: why for record in engine.run(1) for i, why in record.finished.items()}
        assert ends == {other.seq_id: "length", finder.seq_id: "error"}
        assert first.output_token_ids


@torch.inference_mode()
def test_a_chunk_beside_decodes_is_the_same_chunk_eagerly():
    """Same kernels, other padding: the same logits but for the rounding of products."""
    from nanovllm_edu.kernels.triton.attention import TritonPagedAttention
    from tests.gpu.models import make_model, make_plans, make_runner, relative_error, step_logits

    model = make_model("qwen3")
    backend, plans = TritonPagedAttention(), make_plans(model.config.vocab_size)
    reference = make_runner(model, backend)
    runner = make_runner(model, backend, cuda_graph.CudaGraphRunner)
    for plan in plans[:2]:
        (expected,) = step_logits(reference, [plan])
        runner.launch(plan).wait()
        assert relative_error(runner._prefill.logits(len(plan.spans)), expected) < 1e-2
        runner.tables.token_ids.copy_(reference.tables.token_ids)  # not what was drawn


def test_who_joins_finds_what_the_same_step_computes(options):
    """Two equal prompts, a token longer than a block: the second is cached but for that token."""
    prompt = [i % 90 for i in range(257)]
    wanted = [
        SamplingParams(temperature=0.7, seed=i, max_tokens=5, ignore_eos=True) for i in (0, 1)
    ]
    with LLM(**{**options, "max_num_batched_tokens": 2048}) as llm:
        for _ in range(3):
            assert_right_tokens(llm, [prompt, prompt], wanted)
            llm.engine.scheduler.block_manager.reset_prefix_cache()
