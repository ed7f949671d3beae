"""On two GPUs: what they say together is what one says, and what the float32 reference says."""

import json
import os
import random
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from nanovllm_edu import SamplingParams
from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.schedule.ngram_proposer import NgramProposer
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import DeviceLostError
from nanovllm_edu.runners.tensor_parallel import TensorParallelRunner

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs"),
]

OPTIONS = {"num_blocks": 64, "block_size": 256, "max_model_len": 1024, "max_num_seqs": 16}
LIMIT = 2e-2


@pytest.fixture(scope="module")
def model():
    from tests.gpu.models import make_model

    return make_model("qwen3")


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """The model as a checkpoint."""
    from nanovllm_edu.models.checkpoint import checkpoint_tensors

    folder, config = tmp_path_factory.mktemp("model"), model.config
    tensors = {name: view.cpu().clone() for name, view in checkpoint_tensors(model).items()}
    save_file(tensors, folder / "model.safetensors")
    shape = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
        "vocab_size": config.vocab_size, "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers, "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads, "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size, "rms_norm_eps": config.rms_norm_eps,
        "max_position_embeddings": config.max_position_embeddings, "tie_word_embeddings": True,
        "rope_parameters": config.rope_parameters, "dtype": "bfloat16",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(shape))
    return folder


def start(folder, **more):
    options = OPTIONS | more
    config = EngineConfig(tensor_parallel_size=2, **options)
    return TensorParallelRunner(folder, config, options, frozenset())


@pytest.fixture(scope="module", params=[True, False], ids=["eager", "graphs"])
def pair(folder, request):
    runner = start(folder, enforce_eager=request.param)
    yield runner
    runner.close()


def prompts(count=12, longest=600):
    rng = random.Random(1)
    return [[rng.randrange(1000) for _ in range(rng.randint(2, longest))] for _ in range(count)]


def params(count=12):
    one = SamplingParams(ignore_eos=True, max_tokens=12)
    kinds = [{"temperature": 0}, {"temperature": 0.8}, {"temperature": 0.8, "top_p": 0.9}]
    return [replace(one, seed=i, **kinds[i % 3]) for i in range(count)]


def assert_right(model, runner, given, each, depth=1, **options):
    """Every token is what the float32 reference says. Returns what was told of each step."""
    from tests.gpu import judge
    from tests.gpu.models import plain

    engine = LLMEngine(runner, EngineConfig(**(OPTIONS | options)))
    seqs = engine.add_requests(zip(given, each, strict=True))
    told = list(engine.run(depth))
    engine.scheduler.check_invariants()
    exact = plain(model, torch.float32)
    for prompt, seq, one in zip(given, seqs, each, strict=True):
        tokens = seq.output_token_ids
        found = judge.expected_tokens(exact, Said(prompt, tokens), one)
        assert found == tokens, f"{seq.seq_id}: {found} instead of {tokens}"
    return told


class Said:
    """What the judge looks at."""

    def __init__(self, prompt, tokens):
        self.prompt_token_ids, self.token_ids = prompt, tokens


def test_the_sums_are_our_own(pair):
    who, why = pair.choices["sums"]
    assert "our own" in who, why
    if "decode steps" in pair.choices:
        assert "CUDA C++" in pair.choices["decode steps"][0]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_every_token_is_right(model, pair, depth):
    told = assert_right(model, pair, prompts(), params(), depth)
    assert all(len(record.rank_timings) == 2 for record in told if record.spans)


def test_chunks_preemption_and_prefix_hits(model, pair):
    shared = prompts(1, 600)[0][:2] + [7] * 520
    given = [*([shared + [i] * 5 for i in range(6)]), *prompts(6)]
    pair.num_blocks = 9
    more = {"max_num_batched_tokens": 128, "max_model_len": 700}
    each = [replace(one, max_tokens=200) for one in params()]
    told = assert_right(model, pair, given, each, **more)
    pair.num_blocks = OPTIONS["num_blocks"]
    assert any(record.plan.preempted for record in told)


def test_guesses(model, pair):
    given = [[5, 6, 7, 8] * 30, [9, 8] * 40]
    each = [SamplingParams(temperature=0, ignore_eos=True, max_tokens=40)] * 2
    assert_right(model, pair, given, each, draft_proposer=NgramProposer(3))


def test_logits(model, pair):
    """Log probabilities of one GPU, of two, and of the float32 reference."""
    from tests.gpu import judge
    from tests.gpu.models import plain

    plan_tokens = prompts(4)
    one = SamplingParams(temperature=0, ignore_eos=True, max_tokens=1, logprobs=8)
    engine = LLMEngine(pair, EngineConfig(**OPTIONS))
    seqs = engine.add_requests((tokens, one) for tokens in plan_tokens)
    said = {seq: values for record in engine.run() for seq, values in record.logprobs.items()}
    exact = plain(model, torch.float32)
    for seq, tokens in zip(seqs, plan_tokens, strict=True):
        right = judge.logits_before_each(exact, tokens, [0])[0]
        (found,) = said[seq.seq_id]
        scale = float(right.abs().max())
        expected = right.log_softmax(-1)
        assert len(found.top) == 8
        for token, value in found.top:
            assert abs(float(expected[token]) - value) <= LIMIT * scale


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_is_gone_ends_all(folder, how):
    runner = start(folder)
    engine = LLMEngine(runner, EngineConfig(**OPTIONS))
    for prompt in prompts(4):
        engine.add_request(prompt, SamplingParams(ignore_eos=True, max_tokens=300))
    for _ in range(5):
        engine.step()
    os.kill(runner.ranks[1].process.pid, how)
    with pytest.raises(DeviceLostError):
        for _ in engine.run(1):
            pass
    engine.close()


def test_the_sum_over_buffers_of_one_gpu():
    """Four "ranks" on one GPU, each on a stream of its own: the same bits on all."""
    from nanovllm_edu.kernels.hopper.peer_sum import NUM_BYTES, PeerSums, reference
    from nanovllm_edu.kernels.hopper.peers import PeerMemory
    from nanovllm_edu.kernels.triton.residual import Residual
    from nanovllm_edu.layers.split import Place

    memories = [torch.zeros(NUM_BYTES, dtype=torch.uint8, device="cuda") for _ in range(4)]
    addresses = tuple(memory.data_ptr() for memory in memories)
    ranks = [PeerSums(PeerMemory(rank, addresses, own)) for rank, own in enumerate(memories)]
    parts = [torch.randn(7, 1024, device="cuda").bfloat16() for _ in ranks]
    old, norm = torch.randn(7, 1024, device="cuda").bfloat16(), torch.randn(1024, device="cuda")
    streams = [torch.cuda.Stream() for _ in ranks]
    residuals = []
    for rank, sums in enumerate(ranks):
        sums.wait_at_most(2)
        sums.part(Place.MLP, 7, 1024).copy_(parts[rank])
        squares = torch.empty(7, 16, device="cuda")
        residual = Residual(old.clone(), torch.empty_like(old), squares)
        residuals.append(residual)
    launches = [
        sums.into(
            residual, Place.MLP, is_added=True,
            norm_weight=norm.bfloat16(), is_overlapped=False,
        )
        for sums, residual in zip(ranks, residuals, strict=True)
    ]  # fmt: skip
    torch.cuda.synchronize()
    for stream, launch in zip(streams, launches, strict=True):
        with torch.cuda.stream(stream):
            launch()
    torch.cuda.synchronize()
    expected = reference(parts, old)
    for residual in residuals:
        assert torch.equal(residual.values, expected)
        squares = expected.float().square().unflatten(1, (16, -1)).sum(2)
        torch.testing.assert_close(residual.squares, squares, rtol=1e-4, atol=1e-3)
        weighted = (expected.float() * norm.bfloat16().float()).bfloat16()
        assert torch.equal(residual.weighted, weighted)
