"""`FusedDecoder`: a decode step of a whole model in five kernels per layer.

    embed            the newest token of each row                        -> stream
    28 times
      norm_project   stream                                              -> qkv
      decode         qkv, the paged cache (norm, RoPE, store, attention) -> attention
      project_add    attention                                           -> stream
      norm_gate_up   stream                                              -> activation
      project_add    activation                                          -> stream
    head, pick       stream, the vocabulary, noise                       -> one token per row

A small step is not limited by arithmetic, hardly by memory, but by the number of kernels and by the
gaps between them. Fusing leaves 143 kernels of some 600; `launch.py` says how the gaps are filled.

All tensors have fixed addresses and no kernel's grid depends on a length, so a step can be captured
in a CUDA graph and replayed: `pick` has left the next step's input in place. The host is needed
only when a sequence comes, goes, or gets a new block.

It knows nothing of plans and tickets. Read next: `runners/cuda_graph.py`, which does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.kernels.decode_inputs import DecodeInputs
from nanovllm_edu.kernels.embed import embed
from nanovllm_edu.kernels.flash import LOG2_E
from nanovllm_edu.kernels.launch import can_overlap, launch_options
from nanovllm_edu.kernels.lm_head import SampleScratch, head, pick
from nanovllm_edu.kernels.norm import rms_norm
from nanovllm_edu.kernels.paged_decode import DecodeWorkspace, NewTokens, launch_decode
from nanovllm_edu.kernels.projections import (
    SplitScratch,
    Stream,
    norm_gate_up,
    norm_project,
    project_add,
)
from nanovllm_edu.kernels.sampling import sample
from nanovllm_edu.kernels.tile_plan import TilePlan, decode_tiles, plan_for
from nanovllm_edu.kernels.weights import LayerWeights, ModelWeights
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.runners.kv_cache import KVCache

COLUMNS_MULTIPLE = 128
"""Every tile of `tile_plan.py` divides it, so no product has a ragged edge."""


@dataclass(frozen=True)
class _Buffers:
    """What flows between the kernels of a step of M rows."""

    plan: TilePlan
    stream: Stream
    qkv: Tensor
    attention: Tensor
    activation: Tensor
    split_scratch: SplitScratch
    sample_scratch: SampleScratch
    workspace: DecodeWorkspace

    @classmethod
    def allocate(
        cls, weights: ModelWeights, num_rows: int, max_context_len: int, plan: TilePlan
    ) -> "_Buffers":
        dtype, device = weights.embedding.dtype, weights.embedding.device
        hidden = weights.hidden_size

        def rows(*shape: int) -> Tensor:
            return torch.empty(num_rows, *shape, dtype=dtype, device=device)

        return cls(
            plan=plan,
            stream=Stream.allocate(num_rows, hidden, hidden // plan.o.n, dtype, device),
            qkv=rows(weights.layers[0].qkv.shape[0]),
            attention=rows(weights.num_heads, weights.head_dim),
            activation=rows(weights.intermediate_size),
            split_scratch=SplitScratch.allocate(num_rows, hidden, (plan.o, plan.down), device),
            sample_scratch=SampleScratch.allocate(
                num_rows, weights.head.shape[0], plan.head, device
            ),
            workspace=DecodeWorkspace.allocate(
                num_rows,
                max_context_len,
                weights.num_heads,
                weights.num_kv_heads,
                weights.head_dim,
                device,
                decode_tiles(num_rows * weights.num_kv_heads),
            ),
        )


class FusedDecoder:
    """Decode steps of one model over one KV cache.

    Args:
        weights: The model's.
        kv_cache: Read and written.
        inputs: What a step reads and writes besides.
        is_overlapped: Let kernels start before their predecessors have ended; by default if the
            device can.
    """

    def __init__(
        self,
        weights: ModelWeights,
        kv_cache: KVCache,
        inputs: DecodeInputs,
        *,
        is_overlapped: bool | None = None,
    ) -> None:
        self.weights = weights
        self.kv_cache = kv_cache
        self.inputs = inputs
        if is_overlapped is None:
            is_overlapped = can_overlap(weights.embedding.device)
        self._options = launch_options(is_overlapped)
        self._buffers: dict[int, _Buffers] = {}

    def step(
        self, num_rows: int, plan: TilePlan | None = None, *, is_filtered: bool = False
    ) -> None:
        """Launch one step of the first `num_rows` rows; nothing waits for the device.

        Buffers are made at the first call with a number of rows, so that call comes before a
        capture.

        Args:
            num_rows: Rows of the inputs to use.
            plan: Tiles to use instead of the table's (for measuring).
            is_filtered: Apply top-k, top-p and min-p, at the price of logits in memory.
        """
        if plan is not None or num_rows not in self._buffers:
            plan = plan or plan_for(num_rows)
            max_len = self.inputs.block_tables.shape[1] * self.kv_cache.block_size
            self._buffers[num_rows] = _Buffers.allocate(self.weights, num_rows, max_len, plan)
        buffers = self._buffers[num_rows]
        layers = self.weights.layers
        self._embed(buffers)
        for index, layer in enumerate(layers):
            self._attention(index, layer, buffers)
            is_last = index == len(layers) - 1
            self._mlp(layer, self.weights.final_norm if is_last else None, buffers)
        if is_filtered:
            normed = rms_norm(buffers.stream.residual, self.weights.final_norm, self.weights.eps)
            sample(F.linear(normed, self.weights.head), self.inputs, is_filtered)
        else:
            self._sample(buffers)

    def _embed(self, buffers: _Buffers) -> None:
        inputs = self.inputs
        embed(
            inputs.token_table,
            inputs.table_rows,
            inputs.context_lens,
            self.weights.embedding,
            buffers.stream.residual,
            buffers.stream.squares,
            self._options,
        )

    def _attention(self, index: int, layer: LayerWeights, buffers: _Buffers) -> None:
        weights, inputs, plan, options = self.weights, self.inputs, buffers.plan, self._options
        num_rows = len(buffers.qkv)
        norm_project(buffers.stream, layer.qkv, buffers.qkv, weights.eps, plan.qkv, options)
        launch_decode(
            buffers.qkv,
            self.kv_cache.data[index],
            buffers.attention,
            inputs.block_tables,
            inputs.table_rows,
            inputs.context_lens[:num_rows],
            buffers.workspace,
            scale=weights.head_dim**-0.5 * LOG2_E,
            fused=NewTokens(
                weights.cos_sin, layer.qkv_bias, layer.q_norm, layer.k_norm, weights.eps
            ),
            options=options,
        )
        project_add(
            buffers.attention.flatten(1),
            layer.o,
            buffers.stream,
            buffers.split_scratch,
            plan.o,
            options,
        )

    def _mlp(self, layer: LayerWeights, last_norm: Tensor | None, buffers: _Buffers) -> None:
        plan, options = buffers.plan, self._options
        norm_gate_up(
            buffers.stream,
            layer.gate_up,
            buffers.activation,
            self.weights.eps,
            plan.gate_up,
            options,
        )
        project_add(
            buffers.activation,
            layer.down,
            buffers.stream,
            buffers.split_scratch,
            plan.down,
            options,
            last_norm,
        )

    def _sample(self, buffers: _Buffers) -> None:
        inputs, weights, options = self.inputs, self.weights, self._options
        head(
            buffers.stream,
            weights.head,
            buffers.sample_scratch,
            inputs.seeds,
            inputs.temperatures,
            inputs.context_lens,  # a token's position is the number of tokens before it
            weights.eps,
            buffers.plan.head,
            options,
        )
        pick(
            buffers.sample_scratch,
            inputs.sampled,
            inputs.token_table,
            inputs.table_rows,
            inputs.context_lens,
            inputs.advances,
            options,
        )


def why_not_fused(config: ModelConfig) -> str | None:
    """The reason why a model's decode steps cannot run through these kernels; None if they can."""
    if config.o_bias or config.mlp_bias:
        return "its output or MLP projections have biases, which the fused kernels leave out"
    if config.head_dim not in (64, 128):
        return f"its head_dim is {config.head_dim}, and the fused kernels have 64 and 128"
    widths = {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_heads * head_dim": config.num_heads * config.head_dim,
    }
    for name, width in widths.items():
        if width % COLUMNS_MULTIPLE:
            return f"its {name} is {width}, no multiple of {COLUMNS_MULTIPLE}"
    return None
