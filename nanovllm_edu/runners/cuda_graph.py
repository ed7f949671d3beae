"""`CudaGraphRunner`: decode steps replayed from CUDA graphs, everything else as in `EagerRunner`.

A decode step is a few hundred small kernels, and launching each from Python takes longer than
running it. A CUDA graph is a recording of them that one call replays.

A sampled token goes into the token table on the device, and the next replay reads it there. The
host never waits in a decode step, except in `Ticket.wait`.

Slow twin: `runners/eager.py`. Source: CUDA graphs for decode, as in vLLM and nano-vLLM.
Read next: `runners/decode_graphs.py`, `runners/graph_inputs.py`, `fused_decode/decoder.py`.
"""

from time import perf_counter

import torch
from tqdm import tqdm

from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.core.plan import Chunk, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.runners.decode_graphs import DecodeGraphs
from nanovllm_edu.runners.eager import EagerRunner, EagerTicket, ticket
from nanovllm_edu.runners.select import BackendChoice
from nanovllm_edu.sampling.sampler import SamplerOutput


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
        """Replays a pure decode step; runs any other one eagerly."""
        graphs = self._graphs
        if graphs is None or not plan.chunks or not plan.is_pure_decode:
            if graphs is not None:
                graphs.inputs.forget()
            return super().launch(plan)
        times = [perf_counter()]
        num_rows = graphs.size_for(len(plan.chunks))
        graph = None
        if all(samples_in_graph(chunk.params) for chunk in plan.chunks):
            graph = graphs.sampled(num_rows, any(has_filter(c.params) for c in plan.chunks))
        if graph is not None:
            rows = graphs.inputs.update(plan)
            times.append(perf_counter())
            graph.replay()
            output = SamplerOutput(graphs.inputs.tensors.sampled[: len(rows)])
        else:
            rows, output = self._replay_logits(graphs, plan, num_rows, times)
        times.append(perf_counter())
        timings = {"prepare": times[1] - times[0], "forward": times[2] - times[1], "sample": 0.0}
        return ticket([chunk.seq_id for chunk in rows], output, timings)

    def _replay_logits(
        self, graphs: DecodeGraphs, plan: StepPlan, num_rows: int, times: list[float]
    ) -> tuple[list[Chunk], SamplerOutput]:
        """The model from a graph, then the same sampler as in the eager runner."""
        graph, logits = graphs.logits(num_rows)
        rows = graphs.inputs.update(plan)
        times.append(perf_counter())
        graph.replay()
        output = self._draw(rows, logits[: len(rows)])
        graphs.inputs.feed_back(output.token_ids)
        return rows, output

    def close(self) -> None:
        """Lets go of graphs, cache and tables."""
        super().close()
        self._graphs = None


def samples_in_graph(params: SamplingParams) -> bool:
    """Whether the sampling needs neither the sequence's history nor log probabilities."""
    return params.logprobs is None and not params.needs_history


def has_filter(params: SamplingParams) -> bool:
    """Whether some tokens cannot be drawn."""
    return params.top_k > 0 or params.top_p < 1.0 or params.min_p > 0.0
