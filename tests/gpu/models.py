"""Models and steps for the GPU tests: the same weights in bfloat16 and, as reference, float32."""

from dataclasses import replace

import torch

from nanovllm_edu import SamplingParams
from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.core.plan import BlockUpdate, Joined, Span, Spans, StepPlan
from nanovllm_edu.kernels.triton.ops import TritonOps
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.loader import build_random_model, load_model
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.runners.eager import EagerRunner

BLOCK_SIZE, MAX_LEN = 256, 1024
CUDA = torch.device("cuda")
GREEDY = SamplingParams(temperature=0.0, ignore_eos=True)


def make_model(name: str) -> Qwen3ForCausalLM:
    """ "tiny", or "qwen3": the widths of Qwen3-0.6B with few layers and random weights."""
    options = {
        "dtype": torch.bfloat16,
        "device": CUDA,
        "ops": TritonOps(),
        "max_model_len": MAX_LEN,
    }
    if name == "tiny":
        return load_model(resolve_model_folder("tiny"), **options)
    config = ModelConfig(
        architecture="Qwen3ForCausalLM", vocab_size=151_936, hidden_size=1024, num_layers=3,
        num_heads=16, num_kv_heads=8, head_dim=128, intermediate_size=3072,
        max_position_embeddings=MAX_LEN, tie_word_embeddings=True, qk_norm=True,
        dtype=torch.bfloat16,
    )  # fmt: skip
    return build_random_model(config, **options)


def plain(model: Qwen3ForCausalLM, dtype: torch.dtype = torch.bfloat16) -> Qwen3ForCausalLM:
    """The same weights, plain torch operations."""
    with CUDA:
        copy = type(model)(replace(model.config, dtype=dtype), max_positions=MAX_LEN)
    for ours, theirs in zip(copy.parameters(), model.parameters(), strict=True):
        ours.data = theirs.data.to(dtype, copy=True)
    return copy


def make_runner(model, backend, runner_class=EagerRunner, num_blocks=24, max_num_seqs=8):
    """A runner with a small cache."""
    return runner_class.build(
        model, backend, num_blocks=num_blocks, block_size=BLOCK_SIZE, max_num_seqs=max_num_seqs,
        max_model_len=MAX_LEN,
    )  # fmt: skip


def reference_logits(model: Qwen3ForCausalLM, plans: list[StepPlan]) -> list[torch.Tensor]:
    """Float32 logits of each plan's spans."""
    return step_logits(make_runner(plain(model, torch.float32), ReferenceAttention()), plans)


@torch.inference_mode()
def step_logits(runner: EagerRunner, plans: list[StepPlan]) -> list[torch.Tensor]:
    """Logits of each plan's spans, eagerly."""
    return [runner._forward(runner.tables.prepare(plan)) for plan in plans]


def make_plans(vocab_size: int) -> list[StepPlan]:
    """Prefill, a mixed step with a chunk and a prefix hit, and a decode step; random tokens.

    Sequence i has row i. It brings all its tokens when it joins, so nothing has to be sampled.
    """
    steps = [{0: 300, 1: 17, 2: 513}, {0: 1, 1: 100, 2: 1, 3: 40}, {0: 1, 1: 1, 2: 1, 3: 1}]
    starts = {0: 0, 1: 0, 2: 0, 3: BLOCK_SIZE}
    tokens = {
        seq: torch.randint(0, vocab_size, (MAX_LEN,)).tolist()[
            : start + sum(s.get(seq, 0) for s in steps)
        ]
        for seq, start in starts.items()
    }
    blocks = torch.randperm(24).tolist()
    own = {seq: tuple(blocks[3 * seq : 3 * seq + 3]) for seq in starts}
    own[3] = (own[2][0], *own[3][1:])  # sequence 3 finds the first block of sequence 2
    tokens[3][:BLOCK_SIZE] = tokens[2][:BLOCK_SIZE]
    lengths, joined = dict(starts), set[int]()

    def plan(step: int, parts: dict[int, int]) -> StepPlan:
        news = [seq for seq in parts if seq not in joined]
        spans = [Span(seq, seq, lengths[seq], num_tokens) for seq, num_tokens in parts.items()]
        updates = []
        for span in spans:
            first = 0 if span.row in news else -(-span.start // BLOCK_SIZE)
            updates.append(
                BlockUpdate(0, span.row, first, own[span.row][first : -(-span.end // BLOCK_SIZE)])
            )
            lengths[span.row] = span.end
        joined.update(news)
        return StepPlan(
            step,
            Spans(spans),
            joined=tuple(Joined(s, s, tokens[s], len(tokens[s]), GREEDY, seed=s) for s in news),
            block_updates=tuple(updates),
        )

    return [plan(step, parts) for step, parts in enumerate(steps)]


def randn(*shape: int, scale: float = 1.0) -> torch.Tensor:
    """Random bfloat16 numbers on the GPU."""
    return (scale * torch.randn(*shape, device=CUDA)).to(torch.bfloat16)


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """|actual - expected| / |expected|, in float32."""
    actual, expected = actual.float(), expected.float()
    return float((actual - expected).norm() / expected.norm())
