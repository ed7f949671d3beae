"""`CudaGraphRunner`: decode steps replayed from CUDA graphs, everything else as in `EagerRunner`.

A decode step is a few hundred small kernels, and launching each from Python takes longer than
running it. A CUDA graph is a recording of them that one call replays.

A sampled token goes into the token table on the device, and the next replay reads it there. The
host never waits in a decode step, except in `Ticket.wait`.

Reference: `runners/eager.py`. Source: CUDA graphs for decode, as in vLLM and nano-vLLM.
Read next: `runners/decode_graphs.py`, `runners/graph_inputs.py`, `fused_decode/decoder.py`.
"""

from collections.abc import Sequence
from enum import Enum
from time import perf_counter

import torch
from tqdm import tqdm

from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.core.plan import Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.runners.decode_graphs import DecodeGraphs
from nanovllm_edu.runners.eager import EagerRunner, EagerTicket, ticket
from nanovllm_edu.runners.select import BackendChoice
from nanovllm_edu.sampling.sampler import SamplerOutput


class SamplingKind(Enum):
    """Where a step's tokens are sampled."""

    PLAIN = "in the graph"
    FILTERED = "in a graph with filters"
    OUTSIDE = "outside: log probabilities, a penalty, a bias or a mask are for the eager sampler"


class CudaGraphRunner(EagerRunner):
    """Replays decode steps. Its arguments are those of `EagerRunner`."""

    def __init__(
        self,
        model: Qwen3ForCausalLM,
        backend: AttentionBackend,
        kv_cache: KVCache,
        tables: DeviceTables,
        eos_token_ids: frozenset[int],
        choice: BackendChoice | None = None,
    ) -> None:
        super().__init__(model, backend, kv_cache, tables, eos_token_ids, choice)
        self._rows: tuple[int, ...] = ()
        self._kind = SamplingKind.PLAIN
        self._graphs: DecodeGraphs | None = DecodeGraphs(model, backend, kv_cache, tables)

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Captures the graphs that sample without filters, for every number of rows, largest first.

        Graphs of the other kinds are captured when a request first needs them.
        """
        assert self._graphs is not None
        for num_rows in tqdm(self._graphs.sizes[::-1], desc="Capturing CUDA graphs", delay=1):
            self._graphs.sampled(num_rows)

    def describe_decode(self) -> tuple[str, str]:
        """What a replayed step is made of, and why."""
        assert self._graphs is not None
        return self._graphs.describe()

    @torch.inference_mode()
    def launch(self, plan: StepPlan) -> EagerTicket:
        """Replays a step in which every sequence moves one token; runs any other one eagerly."""
        graphs, tables, kv_cache = self._graphs, self.tables, self.kv_cache
        if graphs is None or tables is None or kv_cache is None or not moves_one_each(plan.spans):
            self._rows = ()  # who joins or is sampled differently in this step is not seen below
            if graphs is not None:
                graphs.inputs.forget()
            return super().launch(plan)
        times = [perf_counter()]
        tables.take_in(plan)
        kv_cache.copy_blocks(plan.copies)
        num_rows = graphs.size_for(len(plan.spans))
        graph = None
        kind = self._kind_of(plan)
        if kind is not SamplingKind.OUTSIDE:
            graph = graphs.sampled(num_rows, kind is SamplingKind.FILTERED)
        if graph is not None:
            seq_ids = graphs.inputs.update(plan)
            times.append(perf_counter())
            graph.replay()
            output = SamplerOutput(graphs.inputs.tensors.sampled[: len(seq_ids)])
        else:
            seq_ids, output = self._replay_logits(graphs, plan, num_rows, times)
        times.append(perf_counter())
        timings = {"prepare": times[1] - times[0], "forward": times[2] - times[1], "sample": 0.0}
        return ticket(seq_ids, output, timings)

    def _replay_logits(
        self, graphs: DecodeGraphs, plan: StepPlan, num_rows: int, times: list[float]
    ) -> tuple[Sequence[int], SamplerOutput]:
        """The model from a graph, then the same sampler as in the eager runner."""
        graph, logits = graphs.logits(num_rows)
        seq_ids = graphs.inputs.update(plan)
        times.append(perf_counter())
        graph.replay()
        spans = tuple(plan.spans)
        output = self._draw((spans[i] for i in graphs.inputs.order), logits[: len(spans)])
        graphs.inputs.feed_back(output.token_ids)
        return seq_ids, output

    def _kind_of(self, plan: StepPlan) -> SamplingKind:
        """Where the step's tokens can be sampled; asked anew only when that may have changed."""
        rows = plan.spans.rows
        if rows != self._rows or plan.joined or plan.sampling_updates:
            assert self.tables is not None
            self._rows = rows
            self._kind = kind_of([self.tables.rows[row].sampling for row in rows])
        return self._kind

    def close(self) -> None:
        """Lets go of graphs, cache and tables."""
        super().close()
        self._graphs = None


def moves_one_each(spans: Spans) -> bool:
    """Whether each sequence moves by one token and is sampled from: what a graph records."""
    return bool(spans) and set(spans.nums_of_tokens) == {1} and all(spans.are_sampled)


def kind_of(params: Sequence[SamplingParams]) -> SamplingKind:
    """Where tokens with these options can be sampled."""
    if any(p.logprobs is not None or p.edits_logits for p in params):
        return SamplingKind.OUTSIDE
    if any(p.top_k > 0 or p.top_p < 1.0 or p.min_p > 0.0 for p in params):
        return SamplingKind.FILTERED
    return SamplingKind.PLAIN
