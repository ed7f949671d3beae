"""`EagerRunner`: plan -> tensors -> tokens, one readable step after the other, on CPU or CUDA.

    prepare   the plan becomes a `Batch`; the device's tables learn what is new, blocks are copied
    forward   the model runs, attention reads the paged cache
    sample    logits become tokens, which the device feeds back to itself

It is the readable reference of `runners/cuda_graph.py` and `runners/taped.py`, which is faster on a
CPU. It knows nothing of queues, policies or text.

Read next: `attention/reference.py`, `models/qwen3.py`, `sampling/sampler.py`; `cpu_threads.py` for
how many threads a step gets, `machine.py` for what it says that it is; `taped.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import sub
from time import perf_counter

import torch
from torch import Tensor

from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.core.plan import Span, Spans, StepOutput, StepPlan, Tokens
from nanovllm_edu.errors import EngineClosedError
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.native import mask
from nanovllm_edu.paged.batch import Batch, DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.runners import select
from nanovllm_edu.runners.cpu_threads import CpuThreads
from nanovllm_edu.runners.machine import MadeOf, made_of
from nanovllm_edu.sampling.rows import BROKEN_LOGITS, SamplingRow
from nanovllm_edu.sampling.sampler import BROKEN, Sampler, SamplerOutput
from nanovllm_edu.sampling.tensors import SamplingTensors


@dataclass(slots=True)
class EagerTicket:
    """A launched step: its tokens are on their way to the host.

    Attributes:
        seq_ids: Whose each row of `output` is; a sequence with guesses has several.
        output: Tokens and log probabilities, on the device or on their way from it.
        timings: Seconds of "prepare", "forward" and "sample".
        drafted: The guesses, by sequence.
        arrived: Fires when a GPU's copy to the host is complete; None on a CPU.
    """

    seq_ids: Sequence[int]
    output: SamplerOutput | None
    timings: dict[str, float]
    drafted: dict[int, Tokens] = field(default_factory=dict[int, Tokens])
    arrived: torch.cuda.Event | None = None

    @property
    def is_done(self) -> bool:
        """Whether the tokens are here: on a CPU always."""
        return self.arrived is None or self.arrived.query()

    def wait(self) -> StepOutput:
        """Blocks until the tokens are here."""
        if self.output is None:
            return StepOutput({}, timings=self.timings)
        if self.arrived is not None:
            self.arrived.synchronize()
        token_ids = self.output.token_ids.tolist()
        if self.drafted:
            tokens = self._up_to_first_wrong_guess(token_ids)
        else:
            tokens = dict(zip(self.seq_ids, zip(token_ids, strict=True), strict=True))
        logprobs = self.output.logprobs_of(self.seq_ids)
        return StepOutput(tokens, logprobs, self._errors(token_ids), timings=self.timings)

    def _errors(self, token_ids: list[int]) -> dict[int, str]:
        """Sequences whose logits are no numbers: they end, and nobody else does."""
        assert self.output is not None
        found = self.output.is_broken
        if not (found.any() if found is not None else BROKEN in token_ids):
            return {}
        is_broken = found.tolist() if found is not None else [t == BROKEN for t in token_ids]
        rows = zip(self.seq_ids, is_broken, strict=True)
        return {seq_id: BROKEN_LOGITS for seq_id, broken in rows if broken}

    def _up_to_first_wrong_guess(self, token_ids: list[int]) -> dict[int, tuple[int, ...]]:
        """A token counts as long as everything before it was guessed right."""
        tokens: dict[int, tuple[int, ...]] = {}
        for seq_id, token_id in zip(self.seq_ids, token_ids, strict=True):
            before = tokens.setdefault(seq_id, ())
            if before == tuple(self.drafted.get(seq_id, ())[: len(before)]):
                tokens[seq_id] = (*before, token_id)
        return tokens


class EagerRunner:
    """Runs each step with ordinary torch calls.

    Args:
        model: Weights and forward pass.
        backend: Attention over the paged cache.
        kv_cache: Its memory.
        tables: Block tables and tokens by row.
        eos_token_ids: Tokens by which the model ends.
        choice: Why it is this backend; None if somebody just handed it over.
    """

    def __init__(
        self,
        model: Qwen3ForCausalLM,
        backend: AttentionBackend,
        kv_cache: KVCache,
        tables: DeviceTables,
        eos_token_ids: frozenset[int],
        choice: select.BackendChoice | None = None,
    ) -> None:
        self.model = model
        self.backend = backend
        self.choice = choice
        self.kv_cache: KVCache | None = kv_cache
        self.tables: DeviceTables | None = tables
        self.eos_token_ids = eos_token_ids
        self.num_blocks = kv_cache.num_blocks
        self.block_size = kv_cache.block_size
        self.vocab_size = model.config.vocab_size
        self.max_model_len = tables.max_model_len
        self.threads = CpuThreads(model, backend.name)
        self._sampler = Sampler(mask.faster_stages(tables.token_ids.device))

    @classmethod
    def build(
        cls,
        model: Qwen3ForCausalLM,
        backend: AttentionBackend,
        *,
        num_blocks: int,
        block_size: int,
        max_num_seqs: int,
        max_model_len: int,
        eos_token_ids: frozenset[int] = frozenset(),
        choice: select.BackendChoice | None = None,
        num_host_blocks: int = 0,
    ) -> "EagerRunner":
        """Allocates cache and tables on the model's device and makes a runner of them."""
        config = model.config
        device = model.embed_tokens.weight.device
        kv_cache = KVCache.allocate(
            num_layers=config.num_layers,
            num_blocks=num_blocks,
            block_size=block_size,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            dtype=config.dtype,
            device=device,
            num_host_blocks=num_host_blocks,
        )
        tables = DeviceTables.allocate(
            max_num_seqs, max_model_len, block_size, kv_cache.scratch_block, device
        )
        return cls(model, backend, kv_cache, tables, eos_token_ids, choice)

    @torch.inference_mode()
    def launch(self, plan: StepPlan) -> EagerTicket:
        """Starts one step. On a CPU it is done when this returns."""
        if self.kv_cache is None or self.tables is None:
            raise EngineClosedError("this runner is closed; make a new engine.")
        self.kv_cache.copy_blocks(plan.copies)
        if not plan.spans:
            self.tables.take_in(plan)
            return EagerTicket((), None, {})
        with self.threads.for_step(sum(plan.spans.nums_of_tokens)):
            return self._run(plan, self.kv_cache, self.tables)

    def _run(self, plan: StepPlan, kv_cache: KVCache, tables: DeviceTables) -> EagerTicket:
        times = [perf_counter()]
        batch = tables.prepare(plan)
        times.append(perf_counter())
        logits = self._forward(batch)
        times.append(perf_counter())
        output = self._sample(plan.spans, batch, logits) if len(batch.logit_rows) else None
        times.append(perf_counter())
        return launched(plan.spans, output, times)

    def _forward(self, batch: Batch) -> Tensor:
        """Logits `[rows, vocab]` of the tokens that are sampled from."""
        assert self.kv_cache is not None
        attend = self.backend.bind(batch, self.kv_cache)
        hidden = self.model(batch.token_ids, batch.positions, attend, batch.logit_rows)
        return self.model.logits(hidden)

    def _sample(self, spans: Spans, batch: Batch, logits: Tensor) -> SamplerOutput:
        """One token per row of logits, written back into the device's table."""
        assert self.tables is not None
        output = self._draw(spans, logits)
        self.tables.feed_back(batch, output.token_ids)
        return output

    def _draw(self, spans: Iterable[Span], logits: Tensor) -> SamplerOutput:
        """One token per row of logits."""
        assert self.tables is not None
        rows = [
            SamplingRow(
                facts.sampling,
                joined.seed,
                position,
                joined.num_prompt_tokens,
                span.row,
                self.eos_token_ids,
                facts.masks[index] if facts.masks else None,
            )
            for span in spans
            for facts in [self.tables.rows[span.row]]
            for joined in [facts.joined]
            for index, position in enumerate(range(span.end + 1 - span.num_claimed, span.end + 1))
        ]
        tensors = SamplingTensors.build(rows, logits.device, self.tables.token_ids)
        return self._sampler(logits, tensors)

    @property
    def made_of(self) -> MadeOf:
        """What a recording of it is a recording of."""
        return made_of(self.model)

    def describe_decode(self) -> tuple[str, str] | None:
        """What a decode step is made of, and why, if not of the same as any other step."""
        return None

    def warm_up(self, max_num_tokens: int) -> None:
        """Does ahead of time what steps of up to so many tokens would wait for: here, nothing."""

    def fork(self, num_blocks: int | None = None, block_size: int | None = None) -> "EagerRunner":
        """A runner that shares the weights: with a copy of the cache, or a blank other one."""
        assert self.kv_cache is not None
        assert self.tables is not None
        if num_blocks is None and block_size is None:
            return type(self)(
                self.model,
                self.backend,
                self.kv_cache.copy(),
                self.tables.copy(),
                self.eos_token_ids,
                self.choice,
            )
        block_size = block_size or self.block_size
        backend, choice = self._backend_for(block_size)
        return self._class_for(backend).build(
            self.model,
            backend,
            num_blocks=num_blocks or self.num_blocks,
            block_size=block_size,
            max_num_seqs=self.tables.max_num_seqs,
            max_model_len=self.max_model_len,
            eos_token_ids=self.eos_token_ids,
            choice=choice,
        )

    def _backend_for(self, block_size: int) -> tuple[AttentionBackend, select.BackendChoice | None]:
        """Who reads blocks of this size: not every backend reads every size."""
        if self.choice is None or block_size == self.block_size:
            return self.backend, self.choice
        config, device = self.model.config, self.model.embed_tokens.weight.device
        choice = select.choose(self.choice.asked, device, config.dtype, config.head_dim, block_size)
        return select.make(choice), choice

    def _class_for(self, backend: AttentionBackend) -> "type[EagerRunner]":
        """Who can run with this backend."""
        return type(self)

    def close(self) -> None:
        """Lets go of cache and tables. Weights stay with whoever shares them."""
        self.kv_cache = self.tables = None

    def __repr__(self) -> str:
        config = self.model.config
        device = self.model.embed_tokens.weight.device
        why = f" ({self.choice.why})" if self.choice else ""
        return (
            f"{type(self).__name__}({config.architecture}, {config.dtype}, {device}, "
            f"attention={self.backend.name!r}{why})"
        )


def launched(spans: Spans, output: SamplerOutput | None, times: Sequence[float]) -> EagerTicket:
    """The ticket of a step whose parts began and ended at these times."""
    timings = dict(zip(("prepare", "forward", "sample"), map(sub, times[1:], times), strict=True))
    if not any(spans.nums_drafted):
        return ticket([*compress(spans.seq_ids, spans.are_sampled)], output, timings)
    seq_ids = [span.seq_id for span in spans for _ in range(span.num_claimed)]
    drafted = {span.seq_id: span.drafted for span in spans if span.num_drafted}
    return ticket(seq_ids, output, timings, drafted)


def ticket(
    seq_ids: Sequence[int],
    output: SamplerOutput | None,
    timings: dict[str, float],
    drafted: dict[int, Tokens] | None = None,
) -> EagerTicket:
    """On a GPU, starts the copy to the host and marks its end with an event."""
    drafted = drafted or {}
    if output is None or output.token_ids.device.type != "cuda":
        return EagerTicket(seq_ids, output, timings, drafted)
    output = output.to_host()
    arrived = torch.cuda.Event()
    arrived.record()
    return EagerTicket(seq_ids, output, timings, drafted, arrived)
