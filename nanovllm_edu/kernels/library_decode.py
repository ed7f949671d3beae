"""`LibraryDecoder`: a decode step of many rows, with the library's matrix products.

    embed            the newest token of each row                        -> stream
    28 times
      product        stream                                              -> qkv          cuBLAS
      decode         qkv, the paged cache (norm, RoPE, store, attention) -> mixed
      product        stream + mixed w^T                                  -> stream       cuBLAS
      product        stream                                              -> gate_up      cuBLAS
      gate           gate_up (norm, SiLU, product)                       -> activation
      product        stream + activation w^T                             -> stream       cuBLAS
    norm             stream                                              -> normed
    product          normed                                              -> logits       cuBLAS
    cut, propose,    logits, noise                                       -> one token per row
    pick

One kernel a layer more than `fused_decode.py`. From some number of rows on that is less than what
the library's products gain: with more rows there is more arithmetic for each byte, and that is what
they are made for. `tile_plan.py` says where the two meet.

The library multiplies what it is given, so a norm has to fit around its product: the weight is
folded into the matrix (`weights.py`), and the division by the row's rms, which commutes with the
product, is made by whoever reads the result. That reader has the stream to compute it from.

Like `FusedDecoder` it reads and writes `DecodeInputs` and can be captured in a CUDA graph; its
intermediate results live in the graph's own memory. Read next: `runners/decode_graphs.py`.
"""

from torch import Tensor
from torch.nn import functional as F

from nanovllm_edu.kernels.activation import silu_and_mul
from nanovllm_edu.kernels.decode_inputs import DecodeInputs
from nanovllm_edu.kernels.embed import embed
from nanovllm_edu.kernels.flash import LOG2_E
from nanovllm_edu.kernels.launch import is_overlap_wanted, launch_options
from nanovllm_edu.kernels.paged_decode import DecodeWorkspace, NewTokens, launch_decode
from nanovllm_edu.kernels.sampling import sample_from
from nanovllm_edu.kernels.tile_plan import decode_tiles
from nanovllm_edu.kernels.weights import LayerWeights, ModelWeights
from nanovllm_edu.runners.kv_cache import KVCache

PLAIN = launch_options(is_overlapped=False)


class LibraryDecoder:
    """Decode steps of one model over one KV cache.

    Args:
        weights: The model's.
        kv_cache: Read and written.
        inputs: What a step reads and writes besides.
        is_overlapped: Launch our kernels before the library's have ended; by default if the device
            can.
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
        self._is_overlapped = is_overlap_wanted(is_overlapped, weights.embedding.device)
        self._workspaces: dict[int, DecodeWorkspace] = {}

    def step(self, num_rows: int, *, is_filtered: bool = False) -> None:
        """Launch one step of the first `num_rows` rows; nothing waits for the device.

        Scratch memory is made at the first call with a number of rows, so that call comes before a
        capture.

        Args:
            num_rows: Rows of the inputs to use.
            is_filtered: Apply top-k, top-p and min-p.
        """
        weights, inputs = self.weights, self.inputs
        stream = weights.embedding.new_empty(num_rows, weights.hidden_size)
        embed(
            inputs.token_table,
            inputs.table_rows,
            inputs.context_lens,
            weights.embedding,
            stream,
            None,
            PLAIN,
        )
        for index, layer in enumerate(weights.layers):
            self._mix(index, layer, stream)
            self._think(layer, stream)
        sample_from(stream, weights, inputs, is_filtered)

    def _mix(self, index: int, layer: LayerWeights, stream: Tensor) -> None:
        """The attention sublayer, added to the stream."""
        weights, inputs, num_rows = self.weights, self.inputs, len(stream)
        qkv = F.linear(stream, layer.qkv)
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
                weights.cos_sin, layer.qkv_bias, layer.q_norm, layer.k_norm, weights.eps, stream
            ),
            options=launch_options(self._is_overlapped),
        )
        stream.addmm_(mixed.flatten(1), layer.o.T)

    def _think(self, layer: LayerWeights, stream: Tensor) -> None:
        """The MLP sublayer, added to the stream."""
        gate_up = F.linear(stream, layer.gate_up)
        activation = silu_and_mul(
            gate_up, stream, self.weights.eps, is_overlapped=self._is_overlapped
        )
        stream.addmm_(activation, layer.down.T)

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
                decode_tiles(num_rows * weights.num_kv_heads),
            )
        return self._workspaces[num_rows]
