"""`TapeRunner`: on a CPU, steps of a few tokens come from a tape.

These are the steps in which sequences get a token each, have guesses verified, or begin where a
cached prompt ends. They read all weights and compute little, so what Python does between the
kernels, and waking a second thread for each of them, would take as long as the kernels. A tape does
all in one call (`tapes.py`). Where everybody takes the likeliest token, and nobody has put another
sampler here, one call more finds these and writes them into the tables.

A tape holds addresses. It is made anew if a weight was written to, and left alone if somebody looks
on (a hook) or another backend attends: then, and in all other steps, this is an `EagerRunner`.

Reference: `runners/eager.py`, to the last bit. Read next: `small_steps.py`; `tapes.py`.
"""

from itertools import compress
from time import perf_counter

import torch

from nanovllm_edu.core.plan import Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.native.attention import NativeAttention
from nanovllm_edu.native.tables import choose
from nanovllm_edu.native.tape import NotOnTapeError
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.paged.layout import Layout
from nanovllm_edu.runners.eager import EagerRunner, EagerTicket, launched
from nanovllm_edu.runners.model_state import ModelState
from nanovllm_edu.runners.small_steps import MOST_TOKENS, is_small
from nanovllm_edu.runners.tapes import SmallStep, Tapes
from nanovllm_edu.sampling.sampler import Sampler, SamplerOutput


class TapeRunner(EagerRunner):
    """Plays small steps. Its arguments are those of `EagerRunner`."""

    _state: ModelState | None = None
    _tapes: Tapes | None = None
    _why_not: str | None = None

    @torch.inference_mode()
    def warm_up(self, max_num_tokens: int) -> None:
        """Packs the weights and writes a first tape: that there can be none is said at once."""
        assert self.kv_cache is not None
        assert self.tables is not None
        with self.threads.for_step(1):
            self._tapes = Tapes(self.model, self.kv_cache, self.tables)
            self._tapes.pack()
            self._state = ModelState(self.model)
            self._step(1)

    def describe_decode(self) -> tuple[str, str]:
        """What a small step is made of, and why."""
        if self._why_not is not None:
            return (
                "one kernel after the other",
                f"they cannot be played from a tape: {self._why_not}",
            )
        return "played from a tape", f"up to {MOST_TOKENS} tokens, all kernels by one call"

    def _run(self, plan: StepPlan, kv_cache: KVCache, tables: DeviceTables) -> EagerTicket:
        step = self._step(sum(plan.spans.nums_of_tokens)) if is_small(plan.spans) else None
        if step is None:
            return super()._run(plan, kv_cache, tables)
        times = [perf_counter()]
        _take_in(plan, tables)
        layout = Layout.of(plan.spans) if _is_mixed(plan.spans) else None
        step.rows_and_positions[:] = (
            (layout.token_rows, layout.positions)
            if layout
            else (plan.spans.rows, plan.spans.starts)
        )
        times.append(perf_counter())
        step.tape.play()
        times.append(perf_counter())
        output = self._next_tokens(plan.spans, step, layout, tables)
        times.append(perf_counter())
        return launched(plan.spans, output, times)

    def _step(self, count: int) -> SmallStep | None:
        """A step that does what the model would do now; None if no tape does."""
        if self._why_not is not None:
            return None
        if type(self.backend) is not NativeAttention:
            return None
        if self._state is None or self._tapes is None or not self._state.still_holds():
            assert self.kv_cache is not None
            assert self.tables is not None
            self._state = ModelState(self.model)
            self._tapes = Tapes(self.model, self.kv_cache, self.tables)
            return None  # this step packs what was written to
        if self._state.is_watched():
            return None
        try:
            return self._tapes.step(count)
        except NotOnTapeError as problem:
            self._why_not = str(problem)
            return None

    def _next_tokens(
        self, spans: Spans, step: SmallStep, layout: Layout | None, tables: DeviceTables
    ) -> SamplerOutput:
        """One token per row of logits that is sampled from, written into the tables."""
        logits, places = step.tape.result, step.places
        rows, positions = places.sequences, places.positions + 1
        if layout is not None and len(layout.logit_rows) < len(logits):
            logits = logits[torch.from_numpy(layout.logit_rows)]
            rows = torch.from_numpy(layout.sampled_rows)
            positions = torch.from_numpy(layout.sampled_positions)
        elif type(self._sampler) is Sampler and all(
            _is_plain(tables.rows[row].sampling) for row in spans.rows
        ):
            token_ids, are_broken = choose(logits, tables.token_ids, places)
            return SamplerOutput(token_ids, None, are_broken)
        output = self._draw(spans, logits)
        tables.token_ids[rows, positions] = output.token_ids
        return output

    def close(self) -> None:
        """See `EagerRunner`."""
        self._state = self._tapes = None
        super().close()


def _is_mixed(spans: Spans) -> bool:
    """Whether anybody has more than one token, or is not sampled from."""
    return len(spans) < sum(spans.nums_of_tokens) or not all(spans.are_sampled)


def _is_plain(params: SamplingParams) -> bool:
    """Whether the likeliest token is all that is asked for."""
    return params.is_greedy and params.logprobs is None and not params.edits_logits


def _take_in(plan: StepPlan, tables: DeviceTables) -> None:
    """Takes in the news: a few numbers where nobody joined, for which arrays are not worth it."""
    if plan.joined or plan.sampling_updates:
        tables.take_in(plan)
        return
    tables.take_facts(plan)
    block_tables, token_ids = tables.block_tables.numpy(), tables.token_ids.numpy()
    for update in plan.block_updates:
        if update.group == 0:
            end = update.first + len(update.block_ids)
            block_tables[update.row, update.first : end] = update.block_ids
    spans = plan.spans
    for row, start, given in compress(
        zip(spans.rows, spans.starts, spans.givens, strict=True), spans.givens
    ):
        token_ids[row, start : start + len(given)] = given
