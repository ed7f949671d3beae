"""On a GPU: bfloat16 logits of every backend and graph against the float32 reference.

How far off bfloat16 may be depends on the model and the tokens. So the measure is what plain torch
is off by, with the same weights and plans: nobody may be half as far off again.
"""

import pytest
import torch

pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

WORSE = 1.5


@pytest.fixture(params=["tiny", "qwen3"], scope="module")
def model(request):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from tests.gpu.models import make_model

    return make_model(request.param)


def limit_of(model, plans, expected):
    """The largest relative error that is allowed, from that of plain torch in bfloat16."""
    from nanovllm_edu.attention.reference import ReferenceAttention
    from tests.gpu.models import make_runner, plain, relative_error, step_logits

    logits = step_logits(make_runner(plain(model), ReferenceAttention()), plans)
    return WORSE * max(map(relative_error, logits, expected))


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
    expected = reference_logits(model, plans)
    limit = limit_of(model, plans, expected)
    assert max(map(relative_error, actual, expected)) <= limit < 0.1


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
    all_expected = reference_logits(model, plans)
    limit, expected = limit_of(model, plans, all_expected), all_expected[-1]
    runner = make_runner(model, backend_named(backend), CudaGraphRunner)
    step_logits(runner, plans[:-1])
    graphs, cache = runner._graphs, runner.kv_cache.data.clone()
    graph, logits = graphs.logits(4)
    runner.tables.prepare(plans[-1])
    order = list(graphs.inputs.update(plans[-1].spans))
    graph.replay()
    assert relative_error(logits, expected[order]) <= limit
    decoder = graphs._decoder
    if decoder is None:
        pytest.skip(f"not fused: {graphs.why_not_fused}")
    runner.kv_cache.data.copy_(cache)
    graphs.inputs.forget()
    graphs.inputs.update(plans[-1].spans)
    decoder.step(4)
    chosen = expected[order].gather(1, graphs.inputs.tensors.sampled[:4, None])
    lost = expected[order].amax(1, keepdim=True) - chosen
    assert float(lost.max()) <= limit * float(expected.abs().max())
