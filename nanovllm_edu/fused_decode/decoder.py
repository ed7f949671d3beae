"""`FusedDecoder`: a decode step of a whole model in five kernels per layer.

    embed            the newest token of each row                      -> residual
    28 times
      qkv            residual, normed                                  -> qkv
      decode         qkv, the paged cache (norm, RoPE, store, attend)  -> attention
      o              attention                                         -> residual, added
      gate_up        residual, normed (and SiLU, times up)             -> activation
      down           activation                                        -> residual, added
    head, pick       residual, the vocabulary, noise                   -> one token per row

A small step is not limited by arithmetic, hardly by memory, but by the number of kernels and by the
gaps between them. Fusing leaves 143 kernels of some 600; `kernels/triton/launch.py` says how the
gaps are filled. GEMMs and attention are in Triton or, on a Hopper GPU, in CUDA C++; with many rows
the library makes some of the GEMMs: `layer_gemms.py`, `layer_attention.py`.

All tensors have fixed addresses and no kernel's grid depends on a length, so a step can be captured
in a CUDA graph and replayed: `pick` has left the next step's input in place. The host is needed
only when a sequence comes, goes, or gets a new block.

Where several GPUs share the model, a sum over all of them follows `embed`, `o` and `down`
(`kernels/hopper/peer_sum.py`), and each proposes tokens of its part of the vocabulary.

It knows nothing of plans and tickets. Read next: `runners/cuda_graph.py`, which does.
"""

from dataclasses import dataclass
from functools import cached_property, partial

from nanovllm_edu.fused_decode import layer_attention
from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.gemm_choice import predicted
from nanovllm_edu.fused_decode.gemm_plan import GemmPlan, GemmPlans, LayerShape, head_tiles
from nanovllm_edu.fused_decode.layer_attention import LayerAttention
from nanovllm_edu.fused_decode.layer_gemms import Launch, LayerGemms, Operands, bind
from nanovllm_edu.fused_decode.sampling import best_of_all, sample_from
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.kernels.hopper import compiler
from nanovllm_edu.kernels.hopper.peer_sum import PeerSums
from nanovllm_edu.kernels.triton.embed import embed
from nanovllm_edu.kernels.triton.gemm import Tiles
from nanovllm_edu.kernels.triton.launch import is_overlap_wanted, launch_options
from nanovllm_edu.kernels.triton.lm_head import head
from nanovllm_edu.kernels.triton.pick import SampleScratch, pick
from nanovllm_edu.kernels.triton.residual import Residual
from nanovllm_edu.layers.split import Place, Ranks
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.paged.kv_cache import KVCache

COLUMNS_MULTIPLE = 128
"""Every tile of `gemm_candidates.py` divides it, so no GEMM has a ragged edge."""


@dataclass(frozen=True)
class _Buffers:
    """What a step of M rows works in and with."""

    operands: Operands
    embed: Launch
    gemms: tuple[LayerGemms, ...]
    attention: tuple[Launch, ...]
    head: "_FusedHead | None"


@dataclass(frozen=True)
class _FusedHead:
    """The vocabulary GEMM with the sampling in it: how it is cut, and what it works in."""

    tiles: Tiles
    scratch: SampleScratch


class FusedDecoder:
    """Decode steps of one model over one KV cache.

    Args:
        weights: The model's.
        kv_cache: Read and written.
        inputs: What a step reads and writes besides.
        is_overlapped: Let kernels start before their predecessors have ended; by default if the
            device can.

    Attributes:
        layer: The shapes of its GEMMs.
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
        self._options = launch_options(self._is_overlapped)
        self._sums: PeerSums | None = None
        if weights.ranks is not None:
            assert isinstance(weights.ranks.sums, PeerSums)  # `why_not_fused` sees to it
            self._sums = weights.ranks.sums
        self.layer = LayerShape.of(weights)
        self._buffers: dict[int, _Buffers] = {}

    @cached_property
    def plans(self) -> GemmPlans:
        """Who makes the GEMMs: as predicted, unless better ones are put here before a step."""
        return GemmPlans(predicted(self.layer, self.has_hopper), "predicted from the shape")

    @property
    def has_hopper(self) -> bool:
        """Whether GEMMs may be made in CUDA C++."""
        embedding = self.weights.embedding
        return compiler.why_unavailable(embedding.device, embedding.dtype) is None

    def describe(self) -> tuple[str, str]:
        """What the larger kernels of a step are written in, and why; for people to read."""
        problem = layer_attention.why_not_hopper(self.weights, self.kv_cache)
        most = layer_attention.most_rows(self.weights)
        attention = "Triton" if problem else "CUDA C++"
        attention += f" up to {most} rows, in Triton for more" if most and not problem else ""
        value = f"attention in {attention}; GEMMs of {self.plans.describe()}"
        why = f"attention not in CUDA C++: {problem}" if problem else "the GPU is a Hopper"
        return value, f"{why}; GEMMs {self.plans.why}"

    def layers_of(self, num_rows: int, plan: GemmPlan) -> Launch:
        """What launches the layers alone of a step with some plan: for trying it out."""
        buffers = self._allocate(num_rows, plan)
        return lambda: self._layers(buffers)

    def step(
        self,
        num_rows: int,
        plan: GemmPlan | None = None,
        *,
        is_filtered: bool = False,
    ) -> None:
        """Launch one step of the first `num_rows` rows; nothing waits for the device.

        Buffers are made at the first call with a number of rows, so that call comes before a
        capture.

        Args:
            num_rows: Rows of the inputs to use.
            plan: Who makes the GEMMs, if not as in `plans` (for measuring).
            is_filtered: Apply top-k, top-p and min-p, at the price of logits in memory.
        """
        if plan is not None or num_rows not in self._buffers:
            plan = plan or self.plans.plan_for(num_rows)
            self._buffers[num_rows] = self._allocate(num_rows, plan)
        buffers = self._buffers[num_rows]
        buffers.embed()
        self._layers(buffers)
        if buffers.head is None or is_filtered:
            sample_from(buffers.operands.residual.values, self.weights, self.inputs, is_filtered)
        else:
            self._sample(buffers.operands.residual, buffers.head)

    def _layers(self, buffers: _Buffers) -> None:
        for gemms, attend in zip(buffers.gemms, buffers.attention, strict=True):
            gemms.qkv()
            attend()
            gemms.o()
            gemms.gate_up()
            gemms.down()

    def _allocate(self, num_rows: int, plan: GemmPlan) -> _Buffers:
        weights, sums = self.weights, self._sums
        operands = Operands.allocate(weights, num_rows, plan, sums)
        # The library leaves the division by a row's rms to attention, which needs the row for it.
        residual = operands.residual.values if plan.qkv is None else None
        attention = LayerAttention(
            weights, self.kv_cache, self.inputs, operands.qkv, operands.attention, residual
        )
        return _Buffers(
            operands=operands,
            embed=self._bind_embed(operands.residual, num_rows),
            gemms=bind(weights, operands, plan, self._is_overlapped, sums),
            attention=attention.bind(self._is_overlapped),
            head=self._allocate_head(num_rows) if plan.down else None,
        )

    def _allocate_head(self, num_rows: int) -> _FusedHead | None:
        tiles, vocabulary = head_tiles(num_rows), self.weights.head
        if tiles is None:
            return None
        scratch = SampleScratch.allocate(num_rows, len(vocabulary), tiles, vocabulary.device)
        return _FusedHead(tiles, scratch)

    def _bind_embed(self, residual: Residual, num_rows: int) -> Launch:
        inputs, weights = self.inputs, self.weights
        tables = inputs.token_table, inputs.table_rows, inputs.context_lens, weights.embedding
        if self._sums is None:
            return partial(embed, *tables, residual.values, residual.squares, self._options)
        part = self._sums.part(Place.VOCABULARY, num_rows, weights.hidden_size)
        add_up = self._sums.into(
            residual, Place.VOCABULARY, is_added=False, is_overlapped=self._is_overlapped
        )

        def launch() -> None:
            embed(*tables, part, None, self._options, weights.first_token)
            add_up()

        return launch

    def _sample(self, residual: Residual, fused: _FusedHead) -> None:
        inputs, weights, options = self.inputs, self.weights, self._options
        head(
            residual,
            weights.head,
            fused.scratch,
            inputs.seeds,
            inputs.temperatures,
            inputs.context_lens,  # a token's position is the number of tokens before it
            weights.eps,
            fused.tiles,
            options,
            weights.first_token,
        )
        pick(
            best_of_all(fused.scratch, weights.ranks),
            inputs.sampled,
            inputs.token_table,
            inputs.table_rows,
            inputs.context_lens,
            inputs.advances,
            options,
        )


def why_not_fused(config: ModelConfig, ranks: Ranks | None = None) -> str | None:
    """The reason why a model's decode steps cannot run through these kernels; None if they can."""
    if ranks is not None and ranks.sums is None:
        return "the sums over all ranks are the library's, and the fused kernels need our own"
    if ranks is not None and config.vocab_size < ranks.num_ranks**2:
        return f"a vocabulary of {config.vocab_size} leaves a rank without a token"
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
