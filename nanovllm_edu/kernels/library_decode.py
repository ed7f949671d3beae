"""`LibraryDecoder`: a decode step of many rows, with the library's matrix products.

    embed_normed     the newest token of each row                        -> residual, normed
    28 times
      product        normed                                              -> qkv          cuBLAS
      decode         qkv, the paged cache (norm, RoPE, store, attention) -> mixed
      product        mixed                                               -> x            cuBLAS
      add, norm      x, residual                                         -> residual, normed
      product        normed                                              -> gate_up      cuBLAS
      gate           gate_up                                             -> activation
      product        activation                                          -> x            cuBLAS
      add, norm      x, residual                                         -> residual, normed
    product          normed                                              -> logits       cuBLAS
    propose, pick    logits, noise                                       -> one token per row

Three kernels a layer more than `fused_decode.py`, of 2 us each. From some number of rows on that is
less than what the library's products gain: they use hardware (the tensor memory accelerator,
clusters of multiprocessors) that ours leave alone. `tile_plan.py` says where the two meet.

Like `FusedDecoder` it reads and writes `DecodeInputs` and can be captured in a CUDA graph; its
intermediate results live in the graph's own memory. Read next: `runners/decode_graphs.py`.
"""

from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.kernels.embed import embed_normed
from nanovllm_edu.kernels.flash import LOG2_E
from nanovllm_edu.kernels.fused_decode import DecodeInputs
from nanovllm_edu.kernels.launch import launch_options
from nanovllm_edu.kernels.lm_head import pick
from nanovllm_edu.kernels.ops import TritonOps
from nanovllm_edu.kernels.paged_decode import (
    DecodeWorkspace,
    NewTokens,
    launch_decode,
    tiles_for,
)
from nanovllm_edu.kernels.sampling import propose
from nanovllm_edu.kernels.weights import LayerWeights, ModelWeights
from nanovllm_edu.runners.kv_cache import KVCache

PLAIN = launch_options(is_overlapped=False)  # the library's kernels do not take part


class LibraryDecoder:
    """Decode steps of one model over one KV cache.

    Args:
        weights: The model's.
        kv_cache: Read and written.
        inputs: What a step reads and writes besides.
    """

    def __init__(self, weights: ModelWeights, kv_cache: KVCache, inputs: DecodeInputs) -> None:
        self.weights = weights
        self.kv_cache = kv_cache
        self.inputs = inputs
        self._ops = TritonOps()
        self._workspaces: dict[int, DecodeWorkspace] = {}

    def step(self, num_rows: int) -> None:
        """Launch one step of the first `num_rows` rows; nothing waits for the device.

        Scratch memory is made at the first call with a number of rows, so that call comes before a
        capture.
        """
        weights, inputs = self.weights, self.inputs
        normed, residual = embed_normed(
            inputs.token_table,
            inputs.table_rows[:num_rows],
            inputs.context_lens,
            weights.embedding,
            weights.layers[0].input_norm,
            weights.eps,
        )
        next_norms = [layer.input_norm for layer in weights.layers[1:]] + [weights.final_norm]
        for index, (layer, next_norm) in enumerate(zip(weights.layers, next_norms, strict=True)):
            x = self._mix(index, layer, normed)
            normed, residual = self._ops.add_rms_norm(x, residual, layer.post_norm, weights.eps)
            x = self._think(layer, normed)
            normed, residual = self._ops.add_rms_norm(x, residual, next_norm, weights.eps)
        self._sample(F.linear(normed, weights.head))

    def _mix(self, index: int, layer: LayerWeights, normed: Tensor) -> Tensor:
        """The attention sublayer."""
        weights, inputs, num_rows = self.weights, self.inputs, len(normed)
        qkv = F.linear(normed, layer.qkv)
        mixed = qkv.new_empty(num_rows, weights.num_heads, weights.head_dim)
        launch_decode(
            qkv,
            self.kv_cache.data[index],
            mixed,
            inputs.block_tables,
            inputs.table_rows,
            inputs.context_lens[:num_rows],
            self._workspace(num_rows),
            scale=weights.head_dim**-0.5 * LOG2_E,
            fused=NewTokens(
                weights.cos_sin, layer.qkv_bias, layer.q_norm, layer.k_norm, weights.eps
            ),
            options=PLAIN,
        )
        return F.linear(mixed.flatten(1), layer.o)

    def _think(self, layer: LayerWeights, normed: Tensor) -> Tensor:
        """The MLP sublayer."""
        return F.linear(self._ops.silu_and_mul(F.linear(normed, layer.gate_up)), layer.down)

    def _sample(self, logits: Tensor) -> None:
        inputs = self.inputs
        # A token's position is the number of tokens before it.
        best = propose(logits, inputs.seeds, inputs.temperatures, inputs.context_lens)
        pick(
            best,
            inputs.sampled,
            inputs.token_table,
            inputs.table_rows,
            inputs.context_lens,
            inputs.advances,
            PLAIN,
        )

    def _workspace(self, num_rows: int) -> DecodeWorkspace:
        if num_rows not in self._workspaces:
            weights, device = self.weights, self.kv_cache.data.device
            self._workspaces[num_rows] = DecodeWorkspace.allocate(
                num_rows,
                self.inputs.block_tables.shape[1] * self.kv_cache.block_size,
                weights.num_heads,
                weights.num_kv_heads,
                weights.head_dim,
                device,
                tiles_for(num_rows * weights.num_kv_heads, device),
            )
        return self._workspaces[num_rows]
