"""`CudaGraphRunner`: steps replayed from CUDA graphs; only the largest run as in `EagerRunner`.

A step is a few hundred small kernels, and launching each from Python takes longer than running it.
A CUDA graph is a recording of them that one call replays. Two kinds are kept:

    decode    one token of each sequence, in few kernels (`runners/decode_graphs.py`)
    prefill   several tokens of a sequence (`runners/prefill_graphs.py`)

A step that has both is two replays, one after the other; or, while the rows that decode are few and
their contexts short, they ride along in the prefill graph, whose weights are read anyway.

A sampled token goes into the token table on the device, and the next replay reads it there. The
host never waits, except in `Ticket.wait`.

Reference: `runners/eager.py`. Source: CUDA graphs for decode, as in vLLM and nano-vLLM.
Read next: `runners/parts.py`, `runners/graph_pool.py`, `runners/graph_inputs.py`,
`fused_decode/decoder.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from time import perf_counter
from typing import Any

import torch
from tqdm import tqdm

from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.core.model_runner import Ticket
from nanovllm_edu.core.plan import (
    Spans,
    StepOutput,
    StepPlan,
    TokenLogprobs,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.kernels.compiling import do_side_by_side
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.runners.decode_graphs import DecodeGraphs
from nanovllm_edu.runners.eager import EagerRunner, EagerTicket, ticket
from nanovllm_edu.runners.graph_pool import GraphPool
from nanovllm_edu.runners.parts import longest_rider, parts_of
from nanovllm_edu.runners.prefill_graphs import PrefillGraphs, sizes
from nanovllm_edu.runners.select import RECORDABLE, BackendChoice, why_no_triton
from nanovllm_edu.sampling.sampler import SamplerOutput


class SamplingKind(Enum):
    """Where a step's tokens are sampled."""

    PLAIN = "in the graph"
    FILTERED = "in a graph with filters"
    OUTSIDE = "outside: log probabilities, a penalty, a bias or a mask are for the eager sampler"


class CudaGraphRunner(EagerRunner):
    """Replays steps. Its arguments are those of `EagerRunner`.

    Attributes:
        longest_rider: Rows with shorter contexts may go through the prefill graph of others.
    """

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
        self._kinds: dict[int, SamplingKind] = {}
        self._note_kinds((row, facts.sampling) for row, facts in tables.rows.items())
        self.longest_rider = longest_rider(model)
        pool = GraphPool()
        self._graphs: DecodeGraphs | None = DecodeGraphs(model, backend, kv_cache, tables, pool)
        self._prefill: PrefillGraphs | None = None
        device, head_dim = tables.token_ids.device, model.config.head_dim
        if why_no_triton(device, head_dim, kv_cache.block_size) is None:
            self._prefill = PrefillGraphs(model, backend, kv_cache, tables, pool)

    @torch.inference_mode()
    def warm_up(self, max_num_tokens: int) -> None:
        """Captures the graphs of all sizes, largest first; those of decode steps without filters.

        Graphs of the other kinds are captured when a request first needs them.
        """
        assert self._graphs is not None
        self._graphs.choose_gemms(meanwhile=self._prompts())
        self._compile()
        works: list[Any] = [partial(self._graphs.sampled, n) for n in self._graphs.sizes[::-1]]
        if self._prefill is not None:
            prefills = [partial(self._prefill.warm_up, n) for n in sizes(max_num_tokens)[::-1]]
            works = [*prefills, *works]
        for work in tqdm(works, desc="Capturing CUDA graphs", delay=1):
            work()

    def _compile(self) -> None:
        """Has the kernels of all graphs compiled, many at once."""
        assert self._graphs is not None
        if self._graphs.has_ranks:  # they add up: all would have to do the same in the same order
            return
        works = [*self._graphs.steps(), *self._prompts()]
        do_side_by_side(works, self._graphs.inputs.tensors.seeds.device)

    def _prompts(self) -> list[Callable[[], None]]:
        """What has the kernels for prompts compiled; nothing on ranks, who add up while it runs."""
        if self._prefill is None or self._graphs is None or self._graphs.has_ranks:
            return []
        return [self._prefill.compile]

    def describe_decode(self) -> tuple[str, str]:
        """What a replayed step is made of, and why."""
        assert self._graphs is not None
        return self._graphs.describe()

    @torch.inference_mode()
    def launch(self, plan: StepPlan) -> Ticket:
        """Replays a step; runs it eagerly if it is too large for any graph."""
        graphs, tables, kv_cache = self._graphs, self.tables, self.kv_cache
        if graphs is None or tables is None or kv_cache is None:
            return super().launch(plan)
        news = (*plan.joined, *plan.sampling_updates)
        self._note_kinds((one.row, one.sampling) for one in news)
        parts = parts_of(plan, self.longest_rider)
        is_eager = parts is None or bool(parts.prefill and self._prefill is None)
        if news or is_eager:
            graphs.inputs.forget()
        if parts is None or is_eager:
            return super().launch(plan)
        times = [perf_counter()]
        tables.take_in(plan)
        kv_cache.copy_blocks(plan.copies)
        tickets: list[EagerTicket] = []
        if parts.decode:
            tickets.append(self._replay_decode(graphs, parts.decode, times))
        if parts.prefill:
            assert self._prefill is not None
            tickets.append(self._replay_prefill(self._prefill, parts.prefill, times))
        return tickets[0] if len(tickets) == 1 else TicketOfParts(tickets)

    def _replay_decode(self, graphs: DecodeGraphs, spans: Spans, times: list[float]) -> EagerTicket:
        """Moves each sequence one token on; `times` says when the step began."""
        num_rows, kind = graphs.size_for(len(spans)), self._kind_of(spans)
        if kind is SamplingKind.OUTSIDE:
            seq_ids, output = self._replay_logits(graphs, spans, num_rows, times)
        else:
            graph = graphs.sampled(num_rows, kind is SamplingKind.FILTERED)
            seq_ids = graphs.inputs.update(spans)
            times.append(perf_counter())
            graph.replay()
            output = SamplerOutput(graphs.inputs.tensors.sampled[: len(seq_ids)])
        times.append(perf_counter())
        return ticket(seq_ids, output, timings_of(times))

    def _replay_logits(
        self, graphs: DecodeGraphs, spans: Spans, num_rows: int, times: list[float]
    ) -> tuple[Sequence[int], SamplerOutput]:
        """The model from a graph, then the same sampler as in the eager runner."""
        graph, logits = graphs.logits(num_rows)
        seq_ids = graphs.inputs.update(spans)
        times.append(perf_counter())
        graph.replay()
        rows = tuple(spans)
        output = self._draw((rows[i] for i in graphs.inputs.order), logits[: len(rows)])
        graphs.inputs.feed_back(output.token_ids)
        return seq_ids, output

    def _replay_prefill(
        self, graphs: PrefillGraphs, spans: Spans, times: list[float]
    ) -> EagerTicket:
        """Computes chunks of prompts, verifies guesses, and moves on who rides along."""
        times = [times[0] if len(times) == 1 else times[-1], perf_counter()]
        graphs.replay(spans)
        seq_ids = [span.seq_id for span in spans for _ in range(span.num_claimed)]
        output, kind = None, self._kind_of(spans)
        if seq_ids and kind is SamplingKind.OUTSIDE:
            output = self._draw(spans, graphs.logits(len(seq_ids)))
            graphs.feed_back(output.token_ids)
        elif seq_ids:
            is_filtered = kind is SamplingKind.FILTERED
            output = SamplerOutput(graphs.draw(len(seq_ids), is_filtered=is_filtered))
        times.append(perf_counter())
        drafted = {span.seq_id: span.drafted for span in spans if span.num_drafted}
        return ticket(seq_ids, output, timings_of(times), drafted)

    def _note_kinds(self, rows: Iterable[tuple[int, SamplingParams]]) -> None:
        """Remembers the rows that are sampled in another way than the plain one."""
        for row, params in rows:
            self._kinds.pop(row, None)
            kind = kind_of(params)
            if kind is not SamplingKind.PLAIN:
                self._kinds[row] = kind

    def _kind_of(self, spans: Spans) -> SamplingKind:
        """Where these tokens can be sampled."""
        kinds = (
            {self._kinds[row] for row in spans.rows if row in self._kinds} if self._kinds else ()
        )
        return max(kinds, key=list(SamplingKind).index, default=SamplingKind.PLAIN)

    def _class_for(self, backend: AttentionBackend) -> type[EagerRunner]:
        return type(self) if backend.name in RECORDABLE else EagerRunner

    def close(self) -> None:
        """Lets go of graphs, cache and tables."""
        super().close()
        self._graphs = self._prefill = None


@dataclass(frozen=True, slots=True)
class TicketOfParts:
    """The tickets of a step's replays, as one."""

    parts: list[EagerTicket]

    def wait(self) -> StepOutput:
        """Blocks until the tokens of all parts are here."""
        tokens: dict[int, tuple[int, ...]] = {}
        logprobs: dict[int, tuple[TokenLogprobs, ...]] = {}
        errors: dict[int, str] = {}
        timings: dict[str, float] = {}
        for output in (part.wait() for part in self.parts):
            tokens.update(output.tokens)
            logprobs.update(output.logprobs)
            errors.update(output.errors)
            for name, seconds in output.timings.items():
                timings[name] = timings.get(name, 0.0) + seconds
        return StepOutput(tokens, logprobs, errors, timings)


def timings_of(times: list[float]) -> dict[str, float]:
    """What a replay took the host: sampling is part of it."""
    begin, prepared, done = times
    return {"prepare": prepared - begin, "forward": done - prepared, "sample": 0.0}


def kind_of(params: SamplingParams) -> SamplingKind:
    """Where a token with these options can be sampled."""
    if params.logprobs is not None or params.edits_logits:
        return SamplingKind.OUTSIDE
    if params.top_k > 0 or params.top_p < 1.0 or params.min_p > 0.0:
        return SamplingKind.FILTERED
    return SamplingKind.PLAIN
