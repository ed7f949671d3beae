"""`TapeRunner`: on a CPU, steps of a few tokens, each of which is sampled from, come from a tape.

These are the steps in which a few sequences get a token each, or have guesses verified. They read
all weights and compute little, so what Python does between the kernels, and waking a second thread
for each of them, would take as long as the kernels. A tape does all in one call
(`native/tape.py`). There is one for each number of tokens, recorded when first needed: the model
runs as ever, over tokens of the spare row, which nobody reads.

A tape holds addresses. It is made anew if a weight was written to, and left alone if somebody looks
on (a hook) or another backend attends: then, and in all other steps, this is an `EagerRunner`.

Reference: `runners/eager.py`, to the last bit. Read next: `native/tape.h`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.native.attention import NativeAttention, Places, attend_at
from nanovllm_edu.native.tape import NotOnTapeError, Tape
from nanovllm_edu.paged.batch import Batch, DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.runners.eager import EagerRunner

MOST_TOKENS = 20
"""With more, the kernels take so long that Python hardly shows; and a tape keeps its memory."""

TYPICAL_CONTEXT = 512
"""Positions for which a recording is made: attention over so many is worth two threads."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A tape, and the memory that a step puts its own into."""

    tape: Tape
    hidden: Tensor
    places: Places


class TapeRunner(EagerRunner):
    """Plays small steps. Its arguments are those of `EagerRunner`."""

    _steps: dict[int, _Step] | None = None
    _modules: Sequence[torch.nn.Module] = ()
    _made_of: Sequence[object] = ()
    _why_not: str | None = None

    def _forward(self, batch: Batch) -> Tensor:
        count = len(batch.positions)
        is_small = count == len(batch.logit_rows) <= MOST_TOKENS
        if not is_small or not self._may_play():
            return super()._forward(batch)
        step = self._step(count)
        if step is None:
            return super()._forward(batch)
        torch.index_select(self.model.embed_tokens.weight, 0, batch.token_ids, out=step.hidden)
        step.places.positions.copy_(batch.positions)
        step.places.slots.copy_(batch.slot_mapping)
        step.places.sequences.copy_(_row_of_each_token(batch))
        step.tape.play()
        return step.tape.result

    def _may_play(self) -> bool:
        """Whether tapes do what the model would do now; forgets those of another state of it."""
        if type(self.backend) is not NativeAttention or self._why_not is not None:
            return False
        if any(module._forward_hooks or module._forward_pre_hooks for module in self._modules):
            return False
        state = _state(self._modules)
        if state != self._made_of:
            self._modules = list(self.model.modules())
            self._steps, self._made_of = {}, _state(self._modules)
        return True

    def _step(self, count: int) -> _Step | None:
        """The tape for so many tokens; None if there can be none."""
        assert self._steps is not None
        assert self.kv_cache is not None
        assert self.tables is not None
        if count not in self._steps:
            try:
                self._steps[count] = _record(self.model, self.kv_cache, self.tables, count)
            except NotOnTapeError as problem:
                self._why_not = str(problem)
                return None
        return self._steps[count]

    def close(self) -> None:
        """See `EagerRunner`."""
        self._steps, self._made_of = None, ()
        super().close()


def _row_of_each_token(batch: Batch) -> Tensor:
    if batch.num_sequences == len(batch.positions):
        return batch.rows
    return batch.rows.repeat_interleave(torch.tensor(batch.query_lens))


def _record(model: Qwen3ForCausalLM, cache: KVCache, tables: DeviceTables, count: int) -> _Step:
    """Runs the model on tokens of the spare row, which are stored into the scratch block."""
    weight = model.embed_tokens.weight
    scratch = cache.scratch_block * cache.block_size
    places = Places(
        tables.block_tables,
        torch.full((count,), tables.max_num_seqs),
        torch.full((count,), min(TYPICAL_CONTEXT, tables.max_model_len) - 1),
        torch.full((count,), scratch),
    )
    hidden = torch.zeros(count, weight.shape[1])
    attend = attend_at(places, cache)

    def work() -> Tensor:
        return model.logits(model.through_layers(hidden, places.positions, attend))

    work()  # packs weights that were not used yet
    return _Step(Tape(work), hidden, places)


def _state(modules: Iterable[torch.nn.Module]) -> list[object]:
    """What a tape depends on: who is part of whom, and each weight, which counts its changes."""
    state: list[object] = []
    for module in modules:
        state += module._modules.values()
        for weight in module._parameters.values():
            if weight is not None:
                state += (id(weight), weight.data_ptr(), _version(weight))
    return state


def _version(weight: Tensor) -> int:
    return -1 if weight.is_inference() else weight._version
