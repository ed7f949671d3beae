"""The attention of every decoder layer, bound to what it reads and writes in a decode step.

    qkv, the paged cache  -> norm, RoPE, store, attention ->  attention

Two kernels can do it: `kernels/triton/paged_decode.py`, for any GPU and shape; and
`kernels/hopper/decode.cu`, in CUDA C++, for the usual shapes on Hopper. Each says how it is cut.

Read next: `decoder.py`.
"""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.layer_gemms import Launch
from nanovllm_edu.fused_decode.weights import LayerWeights, ModelWeights
from nanovllm_edu.kernels.hopper import compiler
from nanovllm_edu.kernels.hopper.decode import (
    BLOCK_SIZE_MULTIPLE,
    MOST_SHARED_PAIRS,
    HopperDecode,
    hopper_decode_tiles,
    num_shares,
)
from nanovllm_edu.kernels.triton.decode_operands import DecodeWorkspace, NewTokens, decode_tiles
from nanovllm_edu.kernels.triton.flash import LOG2_E
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.kernels.triton.paged_decode import launch_decode
from nanovllm_edu.paged.kv_cache import KVCache


@dataclass(frozen=True)
class LayerAttention:
    """What the attention of a step of M rows works with, the same for all layers.

    Attributes:
        weights: The model's.
        kv_cache: Read; the new tokens' keys and values are stored.
        inputs: Block tables and lengths of the rows.
        qkv: [M, (H + 2 KH) D], the projection.
        out: [M, H, D]
        residual: [M, hidden], what was projected, if its rows must still be divided by their rms.
    """

    weights: ModelWeights
    kv_cache: KVCache
    inputs: DecodeInputs
    qkv: Tensor
    out: Tensor
    residual: Tensor | None = None

    def bind(self, is_overlapped: bool) -> tuple[Launch, ...]:
        """What launches each layer's attention."""
        num_pairs = len(self.qkv) * self.weights.num_kv_heads
        most, problem = most_rows(self.weights), why_not_hopper(self.weights, self.kv_cache)
        if problem is None and (most is None or len(self.qkv) <= most):
            shares = num_shares(self.weights.num_heads // self.weights.num_kv_heads)
            tiles, inputs = hopper_decode_tiles(num_pairs * shares), self.inputs
            tables = (inputs.block_tables, inputs.table_rows, inputs.context_lens)
            kernels = [
                HopperDecode(self.qkv, cache, self.out, *tables, new, tiles, self._scale)
                for cache, new in self._layers()
            ]
            return tuple(partial(kernel.launch, is_overlapped) for kernel in kernels)
        launch = partial(
            launch_decode,
            block_tables=self.inputs.block_tables,
            table_rows=self.inputs.table_rows,
            context_lens=self.inputs.context_lens[: len(self.qkv)],
            workspace=self._workspace(num_pairs),
            scale=self._scale,
            options=launch_options(is_overlapped),
        )
        return tuple(
            partial(launch, self.qkv, cache, self.out, fused=new) for cache, new in self._layers()
        )

    @property
    def _scale(self) -> float:
        return self.weights.head_dim**-0.5 * LOG2_E

    def _layers(self) -> list[tuple[Tensor, NewTokens]]:
        """Each layer's cache, and what makes its queries, keys and values."""
        caches = self.kv_cache.data
        return [
            (cache, self._new_tokens(layer))
            for cache, layer in zip(caches, self.weights.layers, strict=True)
        ]

    def _new_tokens(self, layer: LayerWeights) -> NewTokens:
        weights = self.weights
        return NewTokens(
            weights.cos_sin, layer.qkv_bias, layer.q_norm, layer.k_norm, weights.eps, self.residual
        )

    def _workspace(self, num_pairs: int) -> DecodeWorkspace:
        """One for all layers, which take turns in it."""
        return DecodeWorkspace.allocate(
            len(self.qkv),
            self.inputs.block_tables.shape[1] * self.kv_cache.block_size,
            self.weights.num_heads,
            self.weights.num_kv_heads,
            self.weights.head_dim,
            self.qkv.device,
            decode_tiles(num_pairs),
        )


def most_rows(weights: ModelWeights) -> int | None:
    """Steps of more rows are Triton's even if `decode.cu` could make them; None: none are."""
    is_shared = num_shares(weights.num_heads // weights.num_kv_heads) > 1
    return MOST_SHARED_PAIRS // weights.num_kv_heads if is_shared else None


def why_not_hopper(weights: ModelWeights, kv_cache: KVCache) -> str | None:
    """The reason why attention cannot run in `kernels/hopper/decode.cu`; None if it can."""
    embedding = weights.embedding
    reason = compiler.why_unavailable(embedding.device, embedding.dtype)
    if reason:
        return reason
    if kv_cache.block_size % BLOCK_SIZE_MULTIPLE:
        return f"block_size={kv_cache.block_size} is no multiple of {BLOCK_SIZE_MULTIPLE}"
    return None
