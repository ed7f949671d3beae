"""`LibraryDecoder`: a decode step of many rows, with the library's matrix products.

    start            the newest token of each row                        -> residual, normed
    28 times
      product        normed                                              -> qkv          cuBLAS
      rotate, store  qkv                                                 -> queries, cache
      attention      queries, the paged cache                            -> mixed        flash-attn
      product        mixed                                               -> x            cuBLAS
      add, norm      x, residual                                         -> residual, normed
      product        normed                                              -> gate_up      cuBLAS
      gate           gate_up                                             -> activation
      product        activation                                          -> x            cuBLAS
      add, norm      x, residual                                         -> residual, normed
    product          normed                                              -> logits       cuBLAS
    propose, pick    logits, noise                                       -> one token per row

Four kernels a layer more than `fused_decode.py`, each of 2 us. From some number of rows on that is
less than what the library's products gain: they are written for tiles of 128 rows and more, and use
hardware (the tensor memory accelerator, clusters) that ours leave alone. `tile_plan.py` says where
the two meet.

Like `FusedDecoder` it reads and writes `DecodeInputs` and can be captured in a CUDA graph.
Read next: `runners/decode_graphs.py`.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.kernels.embed import Start, start
from nanovllm_edu.kernels.fused_decode import DecodeInputs
from nanovllm_edu.kernels.launch import launch_options
from nanovllm_edu.kernels.lm_head import pick
from nanovllm_edu.kernels.ops import TritonOps
from nanovllm_edu.kernels.paged_decode import NewTokens
from nanovllm_edu.kernels.rotate_store import rotate_and_store
from nanovllm_edu.kernels.sampling import propose
from nanovllm_edu.kernels.weights import LayerWeights, ModelWeights
from nanovllm_edu.runners.kv_cache import KVCache

AttendOne = Callable[[int, Tensor], Tensor]
"""(layer, queries [rows, heads, head_dim]) -> attention output of the same shape."""

AttendRows = Callable[[KVCache, Tensor, Tensor], AttendOne]
"""(cache, block tables of the rows, their context lengths) -> what each layer calls."""


class LibraryDecoder:
    """Decode steps of one model over one KV cache.

    Args:
        weights: The model's.
        kv_cache: Read and written.
        inputs: What a step reads and writes besides.
        attend_rows: Attention of one query per row over the cache, which holds the newest token.
    """

    def __init__(
        self,
        weights: ModelWeights,
        kv_cache: KVCache,
        inputs: DecodeInputs,
        attend_rows: AttendRows,
    ) -> None:
        self.weights = weights
        self.kv_cache = kv_cache
        self.inputs = inputs
        self._attend_rows = attend_rows
        self._ops = TritonOps()

    def step(self, num_rows: int) -> None:
        """Launch one step of the first `num_rows` rows; nothing waits for the device."""
        weights, inputs = self.weights, self.inputs
        tables = inputs.block_tables[inputs.table_rows[:num_rows]]
        attend = self._attend_rows(self.kv_cache, tables, inputs.context_lens[:num_rows])
        begin = self._start(num_rows)
        normed, residual = begin.normed, begin.residual
        next_norms = [layer.input_norm for layer in weights.layers[1:]] + [weights.final_norm]
        for index, (layer, next_norm) in enumerate(zip(weights.layers, next_norms, strict=True)):
            x = self._mix(index, layer, normed, begin, attend)
            normed, residual = self._ops.add_rms_norm(x, residual, layer.post_norm, weights.eps)
            x = self._think(layer, normed)
            normed, residual = self._ops.add_rms_norm(x, residual, next_norm, weights.eps)
        self._sample(F.linear(normed, weights.head))

    def _start(self, num_rows: int) -> Start:
        inputs, weights = self.inputs, self.weights
        return start(
            inputs.token_table,
            inputs.block_tables,
            inputs.table_rows[:num_rows],
            inputs.context_lens,
            weights.embedding,
            weights.layers[0].input_norm,
            self.kv_cache.block_size,
            weights.eps,
        )

    def _mix(
        self, index: int, layer: LayerWeights, normed: Tensor, begin: Start, attend: AttendOne
    ) -> Tensor:
        """The attention sublayer."""
        weights = self.weights
        new = NewTokens(weights.cos_sin, layer.qkv_bias, layer.q_norm, layer.k_norm, weights.eps)
        q = rotate_and_store(
            F.linear(normed, layer.qkv),
            self.kv_cache.data[index],
            begin.positions,
            begin.slot_mapping,
            new,
        )
        return F.linear(attend(index, q).flatten(1), layer.o)

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
            launch_options(is_overlapped=False),
        )
