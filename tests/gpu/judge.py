"""Whether a GPU's tokens are right: each against the float32 reference, given those before it.

Two correct engines need not say the same: products of other shapes round otherwise, a near tie
falls to the other side, and from there on all tokens differ. How long two answers agree is a toss
of coins. So each token is judged by itself: the reference computes the logits of exactly the tokens
that came before, filters them and adds the request's own noise, and the token must win there, once
its logit is raised and those of its rivals are lowered by the error that bfloat16 is allowed. (With
a filter, a rival that was only just among the likely tokens may be lowered out of them.)
"""

from collections.abc import Sequence

import torch

from nanovllm_edu import SamplingParams
from nanovllm_edu.attention.sdpa import SdpaAttention
from nanovllm_edu.core.plan import BlockUpdate, Joined, Span, Spans, StepPlan
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.outputs import RequestOutput
from nanovllm_edu.sampling.sampler import Sampler
from nanovllm_edu.sampling.tensors import SamplingRow, SamplingTensors
from tests.gpu.models import BLOCK_SIZE, make_runner, plain, step_logits

ERROR = 2e-2
"""Of bfloat16 logits, as a share of the largest one; `test_logits.py` holds them to it."""

MOST_RIVALS = 20
"""So many may win before a token that is granted its error; more would be a wrong token."""


def assert_right(
    model: Qwen3ForCausalLM,
    outputs: Sequence[RequestOutput],
    params: Sequence[SamplingParams],
) -> None:
    """Fails with the first token that is not what the reference says."""
    exact = plain(model, torch.float32)
    for output, one in zip(outputs, params, strict=True):
        rights = expected_tokens(exact, output, one)
        pairs = enumerate(zip(output.token_ids, rights, strict=True))
        wrong = [(i, token, right) for i, (token, right) in pairs if token != right]
        assert not wrong, f"request {output.request_id}: (index, token, right) {wrong[:5]}"


@torch.inference_mode()
def expected_tokens(
    exact: Qwen3ForCausalLM, output: RequestOutput, params: SamplingParams
) -> list[int]:
    """What wins at each position once the token that was chosen there is granted its error."""
    prompt, generated = output.prompt_token_ids, output.token_ids
    logits = logits_before_each(exact, prompt, generated)
    assert params.seed is not None or params.is_greedy
    rows = [
        SamplingRow(params, params.seed or 0, len(prompt) + i, len(prompt))
        for i in range(len(generated))
    ]
    table = torch.tensor([prompt + generated], device=logits.device)
    chosen = torch.tensor(generated, device=logits.device)
    return winners(logits, chosen, SamplingTensors.build(rows, logits.device, table)).tolist()


def winners(logits: torch.Tensor, chosen: torch.Tensor, sampling: SamplingTensors) -> torch.Tensor:
    """Who is drawn from each row once errors are granted: `chosen`, wherever it can be right.

    Args:
        logits: `[R, V]`, exact.
        chosen: `[R]`, what was drawn from inexact ones.
        sampling: How it was drawn.
    """
    logits, error = logits.clone(), ERROR * logits.abs().amax(1, keepdim=True)
    lowered = logits - error
    logits.scatter_add_(1, chosen[:, None], error)
    for _ in range(MOST_RIVALS):
        found = Sampler().choose(logits.clone(), sampling)
        rivals = found != chosen
        if not rivals.any():
            break
        rows, tokens = rivals.nonzero()[:, 0], found[rivals]
        logits[rows, tokens] = lowered[rows, tokens]
    return found


def logits_before_each(
    exact: Qwen3ForCausalLM, prompt: list[int], generated: list[int]
) -> torch.Tensor:
    """Float32 logits from which each generated token was to be chosen: [generated, vocab]."""
    tokens = [*prompt, *generated[:-1]]
    blocks = tuple(range(-(-len(tokens) // BLOCK_SIZE)))
    span = Span(0, 0, 0, len(tokens), given=tokens, num_drafted=len(generated) - 1)
    plan = StepPlan(
        0,
        Spans([span]),
        joined=(Joined(0, 0, tokens, len(prompt), SamplingParams(), 0),),
        block_updates=(BlockUpdate(0, 0, 0, blocks),),
    )
    return step_logits(make_runner(exact, SdpaAttention()), [plan])[0]
