"""A decoder's weights as plain tensors, which is all that kernels need to know of a model.

Nothing is copied: these are the model's own parameters. `fold_norms` rewrites some of them into an
equivalent form, in which the weight g of a norm has moved into the matrix w that follows it:

    norm(x) w^T = (x / rms(x) * g) w^T = (x / rms(x)) (w * g)^T

After that a norm is a division of each row by one number, and a division can wait.

Read next: `decoder.py`.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.layers.embedding import Embedding
from nanovllm_edu.layers.split import Ranks, SplitEmbedding
from nanovllm_edu.models.qwen3 import Qwen3DecoderLayer, Qwen3ForCausalLM


@dataclass(frozen=True)
class LayerWeights:
    """One decoder layer, its two norms folded. `hidden` is the residual's width, I the MLP's.

    Attributes:
        qkv: [(H + 2 KH) D, hidden]
        qkv_bias: [(H + 2 KH) D] or None.
        q_norm: [D] or None.
        k_norm: [D] or None.
        o: [hidden, H D]
        gate_up: [2 I, hidden]
        down: [hidden, I]
    """

    qkv: Tensor
    qkv_bias: Tensor | None
    q_norm: Tensor | None
    k_norm: Tensor | None
    o: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True)
class ModelWeights:
    """A whole decoder, or a rank's part of one: then V is the tokens whose rows are here.

    Attributes:
        embedding: [V, hidden]
        layers: One entry per layer.
        final_norm: [hidden]
        head: [V, hidden], the same tensor as `embedding` if they are tied.
        cos_sin: float32 [max_positions, D].
        num_heads: H.
        num_kv_heads: KH.
        head_dim: D.
        eps: Of every norm.
        first_token: Of those whose rows are here.
        shared: The output matrix of which `head` is a part; None: `head` is all of it.
    """

    embedding: Tensor
    layers: tuple[LayerWeights, ...]
    final_norm: Tensor
    head: Tensor
    cos_sin: Tensor
    num_heads: int
    num_kv_heads: int
    head_dim: int
    eps: float
    first_token: int = 0
    shared: SplitEmbedding | None = None

    @property
    def ranks(self) -> Ranks | None:
        """Who has the rest; None: nobody."""
        return None if self.shared is None else self.shared.ranks

    def scores(self, hidden: Tensor) -> Tensor:
        """The logits of the whole vocabulary; all ranks must ask for them."""
        return F.linear(hidden, self.head) if self.shared is None else self.shared.scores(hidden)

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.embedding.shape[1]

    @property
    def intermediate_size(self) -> int:
        """Width of the MLP."""
        return self.layers[0].down.shape[1]

    @classmethod
    def collect(cls, model: Qwen3ForCausalLM) -> "ModelWeights":
        """The parameters of a model of the Qwen3, Qwen2 or Llama family, its norms folded."""
        fold_norms(model)
        config, head = model.config, model.lm_head
        shared = head if isinstance(head, SplitEmbedding) else None
        return cls(
            embedding=_tokens_here(model.embed_tokens),
            layers=tuple(_layer(layer) for layer in _decoder_layers(model)),
            final_norm=model.norm.weight,
            head=_tokens_here(head),
            cos_sin=model.cos_sin,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            eps=config.rms_norm_eps,
            first_token=shared.first if shared else 0,
            shared=shared,
        )


@torch.no_grad()
def fold_norms(model: Qwen3ForCausalLM) -> None:
    """Moves each layer norm's weight into the matrix after it, in place.

    The model computes what it did before, but for one rounding of each weight. A second call finds
    weights of 1 and changes nothing. The last norm stays: the matrix after it may be the embedding.
    """
    for layer in _decoder_layers(model):
        pairs = (
            (layer.input_layernorm, layer.self_attn.qkv_proj),
            (layer.post_attention_layernorm, layer.mlp.gate_up_proj),
        )
        for norm, projection in pairs:
            projection.weight.copy_(projection.weight.float() * norm.weight.float())
            norm.weight.fill_(1.0)


def _tokens_here(vocabulary: Embedding) -> Tensor:
    """The rows without those of zeros that fill a rank's part up."""
    if isinstance(vocabulary, SplitEmbedding):
        return vocabulary.weight[: max(0, vocabulary.vocab_size - vocabulary.first)]
    return vocabulary.weight


def _decoder_layers(model: Qwen3ForCausalLM) -> list[Qwen3DecoderLayer]:
    return cast("list[Qwen3DecoderLayer]", list(model.layers))


def _layer(layer: Qwen3DecoderLayer) -> LayerWeights:
    attention, mlp = layer.self_attn, layer.mlp
    return LayerWeights(
        qkv=attention.qkv_proj.weight,
        qkv_bias=attention.qkv_proj.bias,
        q_norm=getattr(attention.q_norm, "weight", None),
        k_norm=getattr(attention.k_norm, "weight", None),
        o=attention.o_proj.weight,
        gate_up=mlp.gate_up_proj.weight,
        down=mlp.down_proj.weight,
    )
