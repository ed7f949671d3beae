"""What a graph records of a model that the fused kernels cannot run: the model, then the draw."""

import pytest
import torch

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.core.plan import StepOutput
from nanovllm_edu.kernels.triton.attention import TritonPagedAttention
from nanovllm_edu.runners.decode_graphs import DecodeGraphs

PARAMS = [
    SamplingParams(temperature=0, max_tokens=4, ignore_eos=True),
    SamplingParams(temperature=0.8, seed=3, max_tokens=4, ignore_eos=True),
    SamplingParams(temperature=0.9, top_k=5, top_p=0.9, seed=4, max_tokens=4, ignore_eos=True),
]


class Replayed:
    """Stands for a graph and for the pool that records it: a replay is the work, done again."""

    def __init__(self, work=None):
        self.replay = work

    def capture(self, work):
        return Replayed(work), None


@pytest.fixture(scope="module")
def llm():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with LLM(
        "tiny-draft", device=device, dtype="float32", enforce_eager=True, num_blocks=64
    ) as llm:
        yield llm


@torch.inference_mode()
@pytest.mark.parametrize("is_filtered", [False, True])
def test_a_recorded_step_says_what_an_eager_one_says(llm, is_filtered, monkeypatch):
    if not torch.cuda.is_available():
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    params = PARAMS if is_filtered else PARAMS[:2]
    engine = llm.engine.fork()
    seqs = engine.add_requests([([7 + i, 300, 301], one) for i, one in enumerate(params)])
    engine.step()
    runner = engine.runner
    graphs = DecodeGraphs(
        runner.model, TritonPagedAttention(), runner.kv_cache, runner.tables, Replayed()
    )
    assert graphs.why_not_fused
    for _ in range(3):  # each reads what the one before it left
        plan = engine.scheduler.plan()
        runner.tables.take_in(plan)
        graph = graphs.sampled(4, is_filtered)
        order = graphs.inputs.update(plan.spans)
        graph.replay()
        tokens = graphs.inputs.tensors.sampled.tolist()
        said = {seq_id: (token,) for seq_id, token in zip(order, tokens, strict=False)}
        engine.scheduler.commit(plan, StepOutput(said))
    twin = llm.engine.fork()
    right = twin.add_requests([([7 + i, 300, 301], one) for i, one in enumerate(params)])
    list(twin.run(0))
    assert [seq.output_token_ids for seq in seqs] == [seq.output_token_ids for seq in right]
