"""On a GPU: whole engines. Tokens, block tables, preemption, memory."""

import gc
import random
from dataclasses import replace

import pytest
import torch

from nanovllm_edu import LLM, SamplingParams

pytestmark = pytest.mark.gpu

SMALL = {"device": "cuda", "max_num_seqs": 16, "max_model_len": 1024, "num_blocks": 64}


def prompts(count=24, longest=300):
    return [
        [random.randrange(1000) for _ in range(random.randint(2, longest))] for _ in range(count)
    ]


def plain(count=24):
    return [
        SamplingParams(temperature=0.8 * (i % 2), seed=i, max_tokens=5 + 3 * i, ignore_eos=True)
        for i in range(count)
    ]


def tokens_of(llm, given, params):
    return [output.token_ids for output in llm.generate(given, params, use_tqdm=False)]


def agreement(ours, theirs):
    """How far answers agree before a near tie is decided otherwise; 1: to the end, all of them.

    Products of other shapes round otherwise, and after the first other token all others differ.
    """
    shares = []
    for one, other in zip(ours, theirs, strict=True):
        pairs = list(zip(one, other, strict=True))
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
        shares.append(same / len(pairs))
    return sum(shares) / len(shares)


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


def test_step_and_run_agree_when_requests_wait(options):
    """A waiting request starts a step later in `run`: other rows, and so other roundings."""
    assert agreement(*stepped_and_overlapped(options, prompts(24), plain(24))) > 0.8


def test_graphs_and_eager_sample_the_same(options):
    given, params = prompts(), plain()
    with LLM(**options) as graphs, LLM(**options, enforce_eager=True) as eager:
        assert agreement(tokens_of(graphs, given, params), tokens_of(eager, given, params)) > 0.8


def test_filters_and_penalties_in_graphs_equal_eager(options):
    given = prompts()
    params = [
        SamplingParams(
            temperature=0.9, seed=i, max_tokens=30, ignore_eos=True, top_k=5 * (i % 3),
            top_p=0.9 if i % 2 else 1.0, repetition_penalty=1.2 if i % 5 == 0 else 1.0,
        )
        for i in range(24)
    ]  # fmt: skip
    with LLM(**options) as graphs, LLM(**options, enforce_eager=True) as eager:
        assert agreement(tokens_of(graphs, given, params), tokens_of(eager, given, params)) > 0.8


def test_filters_alone_are_part_of_the_graph(options):
    """They agree with the eager engine as far as the same requests without filters do."""
    given = prompts()
    filtered = [
        SamplingParams(
            temperature=0.9 * (i % 4 > 0), seed=i, max_tokens=30, ignore_eos=True,
            top_k=5 * (i % 3), top_p=0.9 if i % 2 else 1.0, min_p=0.02 if i % 5 == 0 else 0.0,
        )
        for i in range(24)
    ]  # fmt: skip
    unfiltered = [replace(params, top_k=0, top_p=1.0, min_p=0.0) for params in filtered]
    with LLM(**options) as graphs, LLM(**options, enforce_eager=True) as eager:
        with_filters, without = (
            agreement(tokens_of(graphs, given, params), tokens_of(eager, given, params))
            for params in (filtered, unfiltered)
        )
        print(f"agreement with filters {with_filters:.2f}, without {without:.2f}")
        assert with_filters > without - 0.1
        assert not graphs.engine.runner._graphs._logits


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
    ample = {**SMALL, "block_size": 16, "num_blocks": 1024}
    with LLM(**ample) as roomy, LLM(**{**ample, "num_blocks": 70}) as scarce:
        expected = tokens_of(roomy, given, params)
        outputs = scarce.generate(given, params, use_tqdm=False)
    assert sum(output.metrics.num_preemptions for output in outputs) > 0
    assert agreement([output.token_ids for output in outputs], expected) > 0.8


def test_prefix_hits_change_no_token(options):
    shared = [random.randrange(1000) for _ in range(512)]
    given = [shared + tail for tail in prompts(12, 40)]
    with LLM(**options) as warm, LLM(**options, enable_prefix_caching=False) as cold:
        assert agreement(*(tokens_of(llm, given, plain(12)) for llm in (warm, cold))) > 0.8
        assert agreement(*(tokens_of(llm, given, plain(12)) for llm in (warm, cold))) > 0.8


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
