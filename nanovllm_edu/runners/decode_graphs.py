"""`DecodeGraphs`: decode steps of one model as CUDA graphs, captured when first needed.

Two kinds are kept, each for a few numbers of rows:

    sampled   the model and the sampling: temperature, and in graphs of their own the filters
              top-k, top-p and min-p, which need logits in memory
    logits    the model alone: penalties and log probabilities follow outside

The first kind holds the fused kernels of `fused_decode/decoder.py`, if these can run the model. The
second, and the first of other models, records the ordinary model and attention backend, launch by
launch.

It knows nothing of plans. Read next: `runners/cuda_graph.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.fused_decode.decoder import FusedDecoder, why_not_fused
from nanovllm_edu.fused_decode.gemm_trial import find_plans
from nanovllm_edu.fused_decode.sampling import sample
from nanovllm_edu.fused_decode.weights import ModelWeights
from nanovllm_edu.layers.split import SplitEmbedding
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.runners.graph_inputs import GraphInputs
from nanovllm_edu.runners.graph_pool import GraphPool

Result = TypeVar("Result")

SMALL_BATCHES = (1, 2, 4, 8)


class DecodeGraphs:
    """The graphs of one runner, and the inputs they all read.

    Args:
        model: Its weights are read in place.
        backend: Attention where the kernels are not the fused ones.
        kv_cache: Read and written.
        tables: Block tables, tokens and options by row.
        pool: Records them.
    """

    def __init__(
        self,
        model: Qwen3ForCausalLM,
        backend: AttentionBackend,
        kv_cache: KVCache,
        tables: DeviceTables,
        pool: GraphPool,
    ) -> None:
        self.inputs = GraphInputs(tables)
        self.sizes = batch_sizes(tables.max_num_seqs)
        vocabulary = model.lm_head
        ranks = vocabulary.ranks if isinstance(vocabulary, SplitEmbedding) else None
        self.has_ranks = ranks is not None
        self.why_not_fused = why_not_fused(model.config, ranks)
        self._model, self._backend, self._kv_cache = model, backend, kv_cache
        self._decoder = None
        if self.why_not_fused is None:
            weights = ModelWeights.collect(model)
            self._decoder = FusedDecoder(weights, kv_cache, self.inputs.tensors)
        self._sampled: dict[tuple[int, bool], torch.cuda.CUDAGraph] = {}
        self._logits: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._pool = pool

    def choose_gemms(self, meanwhile: Sequence[Callable[[], object]] = ()) -> None:
        """Finds who makes the GEMMs of a fused step; before the first graph is recorded.

        Args:
            meanwhile: Has other kernels compiled, if those of GEMMs have to be.
        """
        if self._decoder is not None and not self._sampled:
            self._decoder.plans = find_plans(self._decoder, meanwhile)

    def steps(self) -> list[Callable[[], None]]:
        """A step of each size on padding rows, not recorded: it compiles what a graph launches."""
        self.inputs.clear()
        return [partial(self._step, size, False) for size in self.sizes]

    def describe(self) -> tuple[str, str]:
        """What a decode step is made of, and why; for people to read."""
        if self._decoder is None:
            return "the model, kernel by kernel", f"not fused: {self.why_not_fused}"
        return self._decoder.describe()

    def size_for(self, num_rows: int) -> int:
        """The number of rows of the smallest graph that holds `num_rows`."""
        return next(size for size in self.sizes if size >= num_rows)

    def sampled(self, num_rows: int, is_filtered: bool = False) -> torch.cuda.CUDAGraph:
        """The graph whose replay leaves tokens in `inputs.tensors.sampled`."""
        key = num_rows, is_filtered
        if key not in self._sampled:
            self._sampled[key], _ = self._capture(lambda: self._step(num_rows, is_filtered))
        return self._sampled[key]

    def logits(self, num_rows: int) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """The graph of the model alone, and the logits `[num_rows, vocab]` that a replay fills."""
        if num_rows not in self._logits:
            self._logits[num_rows] = self._capture(lambda: self._forward(num_rows))
        return self._logits[num_rows]

    def _step(self, num_rows: int, is_filtered: bool) -> None:
        if self._decoder is not None:
            self._decoder.step(num_rows, is_filtered=is_filtered)
        else:
            sample(self._forward(num_rows), self.inputs.tensors.rows(num_rows), is_filtered)

    def _forward(self, num_rows: int) -> Tensor:
        batch = self.inputs.batch(num_rows)
        attend = self._backend.bind(batch, self._kv_cache)
        hidden = self._model(batch.token_ids, batch.positions, attend)
        return self._model.logits(hidden)

    def _capture(self, work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
        """Records `work` on padding rows."""
        self.inputs.clear()
        return self._pool.capture(work)


def batch_sizes(max_num_seqs: int) -> tuple[int, ...]:
    """Numbers of rows that graphs are kept for; a step uses the next larger one.

    A padding row reads no keys, and one in eight more of the rest is not seen in a large step.
    """
    sizes = [*SMALL_BATCHES, *range(16, 256, 16), *range(256, 512, 32)]
    while sizes[-1] < max_num_seqs:
        sizes.append(sizes[-1] // 64 * 64 + 64)
    return (*(size for size in sizes if size < max_num_seqs), max_num_seqs)
