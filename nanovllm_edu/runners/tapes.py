"""`Tapes`: the small steps of a model, each size on a tape of its own.

    rows, positions ─► look up ─► the model, layer by layer ─► logits
                       (the tables that the runner keeps)

A step says only which rows of the tables it moves on, and at which positions. A tape is written
when a size is first needed: the model runs as ever, but its kernels are written down instead of
being done. All of them share what they read and what they compute in: one is played at a time.

It knows nothing of plans. Read next: `native/tape.py`; `native/tables.c`; `model_state.py`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.native.attention import Places, attend_at
from nanovllm_edu.native.tables import look_up
from nanovllm_edu.native.tape import Room, Tape
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.runners.small_steps import MOST_TOKENS

TYPICAL_CONTEXT = 512
"""Positions for which a tape is written: attention over so many is worth two threads."""


@dataclass(frozen=True, slots=True)
class SmallStep:
    """A tape, and what it reads.

    Attributes:
        tape: Its result are the logits, a row for each token.
        places: Of its tokens; it writes the slots itself.
        rows_and_positions: Those of `places`, to be written to.
    """

    tape: Tape
    places: Places
    rows_and_positions: np.ndarray


class Tapes:
    """The steps of a model as it is now.

    Args:
        model: Its weights are packed: torch would have to do it, which no tape holds.
        kv_cache: Its memory.
        tables: Of the same runner.
    """

    def __init__(self, model: Qwen3ForCausalLM, kv_cache: KVCache, tables: DeviceTables) -> None:
        self._model, self._kv_cache, self._tables = model, kv_cache, tables
        self._numbers = torch.zeros(3, MOST_TOKENS, dtype=torch.int64)
        self._room = Room()
        self._steps: dict[int, SmallStep] = {}

    def step(self, count: int) -> SmallStep:
        """The step of so many tokens.

        Raises:
            NotOnTapeError: torch computes a part of it.
        """
        if count not in self._steps:
            places = self._places(count)
            tape = Tape(lambda: self.logits(places), self._room)
            self._steps[count] = SmallStep(tape, places, self._numbers.numpy()[:2, :count])
        return self._steps[count]

    def pack(self) -> None:
        """Has the model run once, on a token of the spare row, and leaves no trace of it."""
        places = self._places(1)
        places.sequences.fill_(self._tables.max_num_seqs)
        self.logits(places)
        self._kv_cache.data[:, :, self._kv_cache.scratch_block].zero_()

    def _places(self, count: int) -> Places:
        """Typical ones, by which work is dealt out: of several sequences, far from the start."""
        rows, positions, slots = self._numbers[:, :count].unbind()
        rows.copy_(torch.arange(count) % len(self._tables.token_ids))
        positions.fill_(min(TYPICAL_CONTEXT, self._tables.max_model_len) - 1)
        return Places(self._tables.block_tables, rows, positions, slots)

    def logits(self, places: Places) -> Tensor:
        """What is on a tape."""
        model, tables = self._model, self._tables
        hidden = look_up(model.embed_tokens.weight, tables.token_ids, places, tables.block_size)
        attend = attend_at(places, self._kv_cache)
        return model.logits(model.through_layers(hidden, places.positions, attend))
