"""`TapeRunner`: on a CPU, steps of a few tokens, each of which is sampled from, come from a tape.

These are the steps in which sequences get a token each, or have guesses verified. They read all
weights and compute little, so what Python does between the kernels, and waking a second thread for
each of them, would take as long as the kernels. A tape does all in one call (`tapes.py`). Where
everybody takes the likeliest token, one call more finds these and writes them into the tables.

A tape holds addresses. It is made anew if a weight was written to, and left alone if somebody looks
on (a hook) or another backend attends: then, and in all other steps, this is an `EagerRunner`.

Reference: `runners/eager.py`, to the last bit. Read next: `tapes.py`.
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
from nanovllm_edu.runners.tapes import MOST_TOKENS, SmallStep, Tapes
from nanovllm_edu.sampling.sampler import SamplerOutput


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
        step = self._step(_num_tokens(plan.spans))
        if step is None:
            return super()._run(plan, kv_cache, tables)
        times = [perf_counter()]
        _take_in(plan, tables)
        step.rows_and_positions[:] = _rows_and_positions(plan.spans)
        times.append(perf_counter())
        step.tape.play()
        times.append(perf_counter())
        output = self._next_tokens(plan.spans, step, tables)
        times.append(perf_counter())
        return launched(plan.spans, output, times)

    def _step(self, count: int) -> SmallStep | None:
        """A step that does what the model would do now; None if no tape does."""
        if not 0 < count <= MOST_TOKENS or self._why_not is not None:
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

    def _next_tokens(self, spans: Spans, step: SmallStep, tables: DeviceTables) -> SamplerOutput:
        """One token per row of logits, written into the tables."""
        logits, places = step.tape.result, step.places
        if all(_is_plain(tables.rows[row].sampling) for row in spans.rows):
            token_ids, are_broken = choose(logits, tables.token_ids, places)
            return SamplerOutput(token_ids, None, are_broken)
        output = self._draw(spans, logits)
        tables.token_ids[places.sequences, places.positions + 1] = output.token_ids
        return output

    def close(self) -> None:
        """See `EagerRunner`."""
        self._state = self._tapes = None
        super().close()


def _num_tokens(spans: Spans) -> int:
    """How many there are, if each of them is sampled from; else 0."""
    count = sum(spans.nums_of_tokens)
    is_each = count == len(spans) + sum(spans.nums_drafted) and all(spans.are_sampled)
    return count if is_each else 0


def _is_plain(params: SamplingParams) -> bool:
    """Whether the likeliest token is all that is asked for."""
    return params.is_greedy and params.logprobs is None and not params.edits_logits


def _take_in(plan: StepPlan, tables: DeviceTables) -> None:
    """Takes in the news. Where nobody joined they are a few numbers, and need no batch of arrays."""
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


def _rows_and_positions(spans: Spans) -> tuple[object, object]:
    """Those of each token."""
    if not any(spans.nums_drafted):
        return spans.rows, spans.starts
    layout = Layout.of(spans)
    return layout.token_rows, layout.positions
