"""Qwen3: a transformer decoder from token ids to scores, to be read from top to bottom.

                token_ids
                    |
               Embedding
                    |
      +------- residual stream -------+        one Qwen3DecoderLayer, num_layers times:
      |             |                 |
      |   norm -> Qwen3Attention -> (+)        tokens look at earlier tokens
      |             |                 |
      |   norm -> Qwen3MLP -------> (+)        each token thinks for itself
      |             |                 |
      +-------------------------------+
                    |
              norm -> hidden  -> logits

All tokens of a step lie in one long row, whichever sequences they belong to: `T` tokens, no batch
axis and no padding. Everything here treats tokens one by one, except `attend`, the function passed
in, which alone knows who may look at whom. So this file never hears of a sequence, a block, a cache
or a phase, and the same code runs a long prompt, one new token of each of sixty requests, or both
at once.

Nothing in `forward` looks at a tensor's values on the host, so a CUDA graph can capture it.

The architecture is that of the Qwen3 technical report (Qwen Team, 2025): grouped-query attention
with a norm on every query and key head, rotary positions, a SwiGLU MLP, RMSNorm before each
sublayer. Checkpoints are Hugging Face's; tensors keep their names but for the two merged matrices.

Read next: `llama.py` (what its relatives leave out), then `../attention/reference.py` (`attend`).
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nanovllm_edu.attention.base import Attend
from nanovllm_edu.layers.embedding import Embedding
from nanovllm_edu.layers.linear import Linear, MergedLinear
from nanovllm_edu.layers.ops import Ops, TorchOps
from nanovllm_edu.layers.rms_norm import RMSNorm
from nanovllm_edu.layers.rotary import rotary_table
from nanovllm_edu.models.config import ModelConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Qwen3Attention(nn.Module):
    """Grouped-query attention: every token asks, and several query heads share a key head.

    Args:
        config: The model's sizes and switches.
        layer: This layer's index, which `attend` needs to find its part of the KV cache.
        ops: Who does the memory-bound arithmetic.
    """

    def __init__(self, config: ModelConfig, layer: int, ops: Ops) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.eps = config.rms_norm_eps
        self.ops = ops
        q_size = config.num_heads * config.head_dim
        kv_size = config.num_kv_heads * config.head_dim
        self.qkv_proj = MergedLinear(
            config.hidden_size,
            {"q_proj": q_size, "k_proj": kv_size, "v_proj": kv_size},
            bias=config.qkv_bias,
            dtype=config.dtype,
        )
        self.o_proj = Linear(q_size, config.hidden_size, bias=config.o_bias, dtype=config.dtype)
        self.q_norm = _head_norm(config, ops)
        self.k_norm = _head_norm(config, ops)

    def forward(
        self,
        hidden: Float[Tensor, "tokens hidden"],
        positions: Int[Tensor, " tokens"],
        cos_sin: Float[Tensor, "max_positions head_dim"],
        attend: Attend,
        rows: Int[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, "rows hidden"]:
        """Project, normalise and rotate; let `attend` mix the tokens; project `rows` back."""
        q, k, v = (
            part.unflatten(-1, (-1, self.head_dim))  # [tokens, heads * head_dim] -> one row a head
            for part in self.qkv_proj.split(self.qkv_proj(hidden))
        )
        q, k = self.ops.qk_norm_rope(
            q, k, positions, cos_sin, _weight(self.q_norm), _weight(self.k_norm), self.eps
        )
        mixed = attend(self.layer, q, k, v).flatten(start_dim=-2)
        return self.o_proj(mixed if rows is None else mixed[rows])


class Qwen3MLP(nn.Module):
    """SwiGLU: one half of a wide projection decides how much of the other half passes."""

    def __init__(self, config: ModelConfig, ops: Ops) -> None:
        super().__init__()
        self.ops = ops
        width, bias, dtype = config.intermediate_size, config.mlp_bias, config.dtype
        self.gate_up_proj = MergedLinear(
            config.hidden_size, {"gate_proj": width, "up_proj": width}, bias=bias, dtype=dtype
        )
        self.down_proj = Linear(width, config.hidden_size, bias=bias, dtype=dtype)

    def forward(self, hidden: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens hidden"]:
        """Widen, gate, narrow."""
        return self.down_proj(self.ops.silu_and_mul(self.gate_up_proj(hidden)))


class Qwen3DecoderLayer(nn.Module):
    """Attention, then an MLP, each reading a normalised copy of the residual stream."""

    def __init__(self, config: ModelConfig, layer: int, ops: Ops) -> None:
        super().__init__()
        self.input_layernorm = _stream_norm(config, ops)
        self.self_attn = Qwen3Attention(config, layer, ops)
        self.post_attention_layernorm = _stream_norm(config, ops)
        self.mlp = Qwen3MLP(config, ops)

    def forward(
        self,
        hidden: Float[Tensor, "tokens hidden"],
        residual: Float[Tensor, "tokens hidden"] | None,
        positions: Int[Tensor, " tokens"],
        cos_sin: Float[Tensor, "max_positions head_dim"],
        attend: Attend,
        rows: Int[Tensor, " rows"] | None = None,
    ) -> tuple[Float[Tensor, "rows hidden"], Float[Tensor, "rows hidden"]]:
        """Return what the MLP adds to the stream, not yet added, and the stream without it.

        The addition is left to the next norm, which reads and writes the stream anyway. With `rows`
        only these tokens are returned; the others still leave their keys and values.
        """
        normed, stream = self.input_layernorm(hidden, residual)
        mixed = self.self_attn(normed, positions, cos_sin, attend, rows)
        if rows is not None:
            stream = stream[rows]
        normed, stream = self.post_attention_layernorm(mixed, stream)
        return self.mlp(normed), stream


class Qwen3ForCausalLM(nn.Module):
    """The whole decoder. Weights are uninitialised: `loader.py` fills them.

    Parameters are made on the current torch device (`with torch.device(...)` chooses it) and in the
    config's dtype; none of them asks for gradients.

    Args:
        config: Sizes and switches.
        ops: Who does the memory-bound arithmetic; plain torch by default.
        max_positions: Rows of the rotary table; the config's `max_position_embeddings` by default.
    """

    cos_sin: Float[Tensor, "max_positions head_dim"]

    def __init__(
        self, config: ModelConfig, ops: Ops | None = None, max_positions: int | None = None
    ) -> None:
        super().__init__()
        ops = TorchOps() if ops is None else ops
        self.config = config
        self.ops = ops
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size, dtype=config.dtype)
        self.layers = nn.ModuleList(
            Qwen3DecoderLayer(config, layer, ops) for layer in range(config.num_layers)
        )
        self.norm = _stream_norm(config, ops)
        self.lm_head = self.embed_tokens if config.tie_word_embeddings else _untied_head(config)
        table = rotary_table(
            config.head_dim, config.rope_parameters, max_positions or config.max_position_embeddings
        )
        self.register_buffer("cos_sin", table.to(self.norm.weight.device), persistent=False)
        self.requires_grad_(False)

    @staticmethod
    def read_config(source: "PreTrainedConfig") -> ModelConfig:
        """Translate a Hugging Face config of this family."""
        return ModelConfig.from_transformers(
            "Qwen3ForCausalLM",
            source,
            window=layer_window(source),
            qk_norm=True,
            qkv_bias=source.attention_bias,
            o_bias=source.attention_bias,
        )

    def forward(
        self,
        token_ids: Int[Tensor, " tokens"],
        positions: Int[Tensor, " tokens"],
        attend: Attend,
        rows: Int[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, "rows hidden"]:
        """Compute the final hidden state of every token in the step, or of some.

        A prompt is computed for its keys and values; of its hidden states only the last is sampled
        from. So once the last layer has stored its keys and values, all other tokens are done: the
        rest of that layer, most of its arithmetic, is left out for them.

        Args:
            token_ids: int64, one per token of the step, sequence after sequence.
            positions: int64, each token's position in its own sequence.
            attend: Stores this layer's keys and values and returns the attention's output.
            rows: int64, the tokens wanted; None: all of them.

        Returns:
            The normalised hidden states, in the weights' dtype.
        """
        return self.through_layers(self.embed_tokens(token_ids), positions, attend, rows)

    def through_layers(
        self,
        hidden: Float[Tensor, "tokens hidden"],
        positions: Int[Tensor, " tokens"],
        attend: Attend,
        rows: Int[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, "rows hidden"]:
        """The same for tokens that have been looked up."""
        residual = None
        for layer in self.layers:
            wanted = rows if layer is self.layers[-1] else None
            hidden, residual = layer(hidden, residual, positions, self.cos_sin, attend, wanted)
        hidden, _ = self.norm(hidden, residual)
        return hidden

    def logits(self, hidden: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows vocab"]:
        """Score every token of the vocabulary as the next one, for the rows to be sampled."""
        return self.lm_head.scores(hidden)


def layer_window(source: "PreTrainedConfig") -> int | None:
    """The sliding window of a Qwen config, if any of its layers really uses one."""
    return source.sliding_window if "sliding_attention" in source.layer_types else None


def _stream_norm(config: ModelConfig, ops: Ops) -> RMSNorm:
    return RMSNorm(config.hidden_size, config.rms_norm_eps, dtype=config.dtype, ops=ops)


def _head_norm(config: ModelConfig, ops: Ops) -> RMSNorm | None:
    if not config.qk_norm:
        return None
    return RMSNorm(config.head_dim, config.rms_norm_eps, dtype=config.dtype, ops=ops)


def _untied_head(config: ModelConfig) -> Embedding:
    return Embedding(config.vocab_size, config.hidden_size, dtype=config.dtype)


def _weight(norm: RMSNorm | None) -> torch.Tensor | None:
    return None if norm is None else norm.weight
