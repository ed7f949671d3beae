"""`NaiveModel`: the model without a KV cache, as one would write it first.

It runs the real weights of an `LLM` over a whole sequence and forgets everything afterwards.
Lessons 01 and 02 compare the engine with it.

Read next: `lesson_02.py`, where the learner adds the cache.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nanovllm_edu.llm import LLM
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.runners.eager import EagerRunner


@dataclass(slots=True)
class NaiveModel:
    """Weights, and a count of the tokens that went through them."""

    model: Qwen3ForCausalLM
    num_tokens_computed: int = 0

    @classmethod
    def of(cls, llm: LLM) -> "NaiveModel":
        """Shares the weights of an `LLM`."""
        assert isinstance(llm.engine.runner, EagerRunner)
        return cls(llm.engine.runner.model)

    @torch.inference_mode()
    def logits_of(self, token_ids: list[int]) -> Float[Tensor, "tokens vocab"]:
        """Scores of the next token after each position, computed from nothing."""
        self.num_tokens_computed += len(token_ids)
        ids = torch.tensor(token_ids)
        hidden = self.model(ids, torch.arange(len(token_ids)), attend_within)
        return self.model.logits(hidden)


def attend_within(
    layer: int,
    q: Float[Tensor, "tokens heads head_dim"],
    k: Float[Tensor, "tokens kv_heads head_dim"],
    v: Float[Tensor, "tokens kv_heads head_dim"],
) -> Float[Tensor, "tokens heads head_dim"]:
    """Causal attention of one whole sequence over itself; nothing is stored."""
    q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
    out = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return out.squeeze(0).transpose(0, 1)
