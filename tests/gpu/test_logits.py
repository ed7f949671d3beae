"""On a GPU: bfloat16 logits of every backend and graph against the float32 reference."""

import pytest
import torch

pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

LIMIT = 2e-2


@pytest.fixture(params=["tiny", "qwen3"], scope="module")
def model(request):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from tests.gpu.models import make_model

    return make_model(request.param)


def backend_named(name):
    if name == "flash":
        pytest.importorskip("flash_attn")
        from nanovllm_edu.attention.flash import FlashAttention
        from nanovllm_edu.kernels.triton.store_kv import store_kv

        return FlashAttention(store_kv)
    from nanovllm_edu.kernels.triton.attention import TritonPagedAttention

    return TritonPagedAttention()


@pytest.mark.parametrize("backend", ["flash", "triton"])
def test_eager_logits(model, backend):
    from tests.gpu.models import (
        make_plans,
        make_runner,
        reference_logits,
        relative_error,
        step_logits,
    )

    plans = make_plans(model.config.vocab_size)
    actual = step_logits(make_runner(model, backend_named(backend)), plans)
    for ours, expected in zip(actual, reference_logits(model, plans), strict=True):
        assert relative_error(ours, expected) <= LIMIT


@torch.inference_mode()
@pytest.mark.parametrize("backend", ["flash", "triton"])
def test_graph_logits_and_greedy_tokens(model, backend):
    from nanovllm_edu.runners.cuda_graph import CudaGraphRunner
    from tests.gpu.models import (
        make_plans,
        make_runner,
        reference_logits,
        relative_error,
        step_logits,
    )

    plans = make_plans(model.config.vocab_size)
    expected = reference_logits(model, plans)[-1]
    runner = make_runner(model, backend_named(backend), CudaGraphRunner)
    step_logits(runner, plans[:-1])
    graphs, cache = runner._graphs, runner.kv_cache.data.clone()
    graph, logits = graphs.logits(4)
    runner.tables.prepare(plans[-1])
    order = list(graphs.inputs.update(plans[-1].spans))
    graph.replay()
    assert relative_error(logits, expected[order]) <= LIMIT
    decoder = graphs._decoder
    if decoder is None:
        pytest.skip(f"not fused: {graphs.why_not_fused}")
    runner.kv_cache.data.copy_(cache)
    graphs.inputs.forget()
    graphs.inputs.update(plans[-1].spans)
    decoder.step(4)
    chosen = expected[order].gather(1, graphs.inputs.tensors.sampled[:4, None])
    lost = expected[order].amax(1, keepdim=True) - chosen
    assert float(lost.max()) <= LIMIT * float(expected.abs().max())
