"""A probe sees what the next step will do, and leaves no trace."""

from math import exp

import pytest
import torch

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RequestError
from nanovllm_edu.introspect.probe import Probe
from nanovllm_edu.runners.checksum import ChecksumRunner

OPTIONS = {
    "num_blocks": 32,
    "block_size": 8,
    "max_num_seqs": 4,
    "max_model_len": 128,
    "attention_backend": "reference",
}


@pytest.fixture(scope="module")
def llm():
    with LLM(**OPTIONS) as llm:
        yield llm


@pytest.fixture
def seq_id(llm):
    params = SamplingParams(
        temperature=0.9, top_k=20, top_p=0.9, min_p=0.01, presence_penalty=0.5, seed=3, max_tokens=9
    )
    seq_id = llm.engine.add_request("What is a KV cache, and what is it for?", params)
    llm.engine.step()
    llm.engine.step()
    yield seq_id
    llm.engine.abort_request(seq_id)


def test_the_chosen_token_is_the_one_that_comes(llm, seq_id):
    probe = Probe(llm)
    for _ in range(4):
        expected = probe.next_token(seq_id).chosen
        assert llm.engine.step().new_tokens[seq_id] == (expected,)


def test_a_grammar_is_a_stage_and_leaves_what_it_allows(llm):
    params = SamplingParams(structured_outputs={"regex": "[0-9]{40}"}, temperature=1.0, seed=3)
    seq_id = llm.engine.add_request("How many?", params)
    llm.engine.step()
    probe = Probe(llm)
    for _ in range(3):
        view = probe.next_token(seq_id)
        stage = view.stages[1]
        assert stage.name == "grammar"
        assert all(c.text.isdigit() for c in stage.candidates if c.probability > 0)
        record = llm.engine.step()
        assert record.new_tokens[seq_id] == (view.chosen,)
        assert record.plan.masks[0].nums_allowed == (stage.num_left,)
    llm.engine.abort_request(seq_id)


def test_the_models_distribution_is_the_engines_own(llm):
    params = SamplingParams(temperature=0.0, logprobs=5, max_tokens=9)
    seq_id = llm.engine.add_request("What is a block table, and who keeps it?", params)
    for _ in range(3):
        llm.engine.step()
    view = Probe(llm).next_token(seq_id)
    seen = {c.token_id: c.probability for c in view.stages[0].candidates}
    top = llm.engine.step().logprobs[seq_id][0].top
    assert [seen[i] for i, _ in top] == pytest.approx([exp(value) for _, value in top], abs=1e-4)
    llm.engine.abort_request(seq_id)


def test_stages_narrow_the_distribution(llm, seq_id):
    view = Probe(llm).next_token(seq_id)
    names = [stage.name for stage in view.stages]
    assert names == ["model", "penalties", "temperature", "min_p", "top_k", "top_p"]
    left = [stage.num_left for stage in view.stages]
    assert left == sorted(left, reverse=True)
    assert left[0] == llm.engine.runner.vocab_size
    assert left[-1] <= 20
    assert all(sum(c.probability for c in s.candidates) <= 1 + 1e-5 for s in view.stages)
    assert view.chosen_text in repr(view)


def test_attention_is_a_distribution_over_the_blocks(llm, seq_id):
    seq = llm.engine.scheduler.sequence(seq_id)
    view = Probe(llm).attention(seq_id, layer=1, head=2)
    assert len(view.weights) == len(seq.token_ids)
    assert sum(view.weights) == pytest.approx(1, abs=1e-5)
    blocks = [block for block, _ in view.by_block() if block is not None]
    assert blocks == seq.block_table[: len(blocks)]
    assert sum(share for _, share in view.by_block()) == pytest.approx(1, abs=1e-5)
    assert f"block {blocks[0]}" in repr(view)
    assert len(view.plot().figure.axes) == 1


def test_a_key_that_changes_in_the_cache_changes_the_attention(llm, seq_id):
    before = Probe(llm).attention(seq_id, layer=0, head=0).weights
    block = llm.engine.scheduler.sequence(seq_id).block_table[0]
    keys = llm.engine.runner.kv_cache.keys(0)
    kept = keys[block, 2].clone()
    keys[block, 2] *= 3
    after = Probe(llm).attention(seq_id, layer=0, head=0).weights
    keys[block, 2] = kept
    assert before[2] != pytest.approx(after[2], rel=1e-3)


def test_a_probe_writes_nothing(llm, seq_id):
    cache = llm.engine.runner.kv_cache
    before, state = [cache.slots(i).clone() for i in range(2)], llm.engine.state()
    Probe(llm).attention(seq_id)
    Probe(llm).next_token(seq_id)
    assert all(torch.equal(cache.slots(i), before[i]) for i in range(2))
    assert llm.engine.state() == state


@pytest.mark.parametrize(("layer", "head", "message"), [(99, 0, "layer=99"), (0, -1, "head=-1")])
def test_a_wrong_layer_or_head_is_an_error(llm, seq_id, layer, head, message):
    with pytest.raises(RequestError, match=message):
        Probe(llm).attention(seq_id, layer, head)


def test_a_sequence_that_waits_cannot_be_probed(llm):
    seq_id = llm.engine.add_request("hello there", SamplingParams(max_tokens=2))
    with pytest.raises(RequestError, match="step until"):
        Probe(llm).attention(seq_id)
    llm.engine.abort_request(seq_id)


def test_a_runner_without_a_model_says_so():
    with pytest.raises(RequestError, match="no model"):
        Probe(LLMEngine(ChecksumRunner()))
