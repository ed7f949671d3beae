"""`Sequence`: one request on its way through the engine.

The only mutable record of the core. The scheduler and the block manager write it; everybody else
reads. It knows its tokens, its place in memory and how far it has been computed; it does not know
which other sequences exist.

Three counters tell the whole life of a sequence. In half-open intervals:

    [0, num_computed_tokens)            keys and values are in the KV cache (or on their way)
    [num_computed_tokens, num_tokens)   must still go through the model
    [len(token_ids), num_tokens)        sampled on the device, value not yet known to us

There is no "prefill" or "decode" state: a step computes the next `num_tokens -
num_computed_tokens` tokens, or a part of them. One left over is what others call decode.

Read next: `core/token_ids.py`.
"""

import sys
from array import array
from dataclasses import dataclass, field
from enum import Enum

from nanovllm_edu.core.request.sampling_params import SamplingParams


class SequenceStatus(Enum):
    """Where a sequence is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(slots=True, eq=False)
class Sequence:
    """One request: its tokens, its blocks, its progress.

    Attributes:
        seq_id: Unique in its engine, ascending in order of arrival.
        token_ids: Prompt, then every generated token whose value is known, packed to 8 bytes each
            (`core/token_ids.py`).
        num_prompt_tokens: Where the prompt ends in `token_ids`.
        params: How to sample, when to stop.
        seed: The seed in force: the request's own, or the one the engine gave it.
        status: Waiting, running or finished.
        slot: Row of the device's tables while running, else None.
        block_table: Physical block id of each logical block. The authority: whatever a device
            holds is a copy.
        block_hashes: Chained hash of each full block of `token_ids`, extended when needed.
        num_cached_blocks: How many leading blocks of `block_table` are findable by hash.
        parent_content_id: Content of the last cached block (see `PrefixIndex`), None after a
            hash collision: nothing further of this sequence is cached.
        num_computed_tokens: Tokens whose keys and values are in the cache.
        num_in_flight: Tokens sampled on the device whose values are still on their way.
        is_decoding: The device already holds the next input token (it sampled it), so a chunk
            need not carry it.
        num_prefix_hit_tokens: Prompt tokens found in the cache when first admitted.
        max_num_tokens: The longest it may grow: prompt and `params.max_tokens`, or what fits the
            scheduler's `max_model_len`.
        ending_token_ids: Tokens that end it: its `stop_token_ids`, and the model's end of sequence
            unless it ignores that.
        finish_reason: "stop", "length" or "abort" once finished.
    """

    seq_id: int
    token_ids: "array[int]"
    num_prompt_tokens: int
    params: SamplingParams
    seed: int = 0
    status: SequenceStatus = SequenceStatus.WAITING
    slot: int | None = None
    block_table: list[int] = field(default_factory=list[int])
    block_hashes: list[int] = field(default_factory=list[int])
    num_cached_blocks: int = 0
    parent_content_id: int | None = 0
    num_computed_tokens: int = 0
    num_in_flight: int = 0
    is_decoding: bool = False
    num_prefix_hit_tokens: int | None = None
    num_preemptions: int = 0
    finish_reason: str | None = None
    _table: tuple[int, ...] = ()
    max_num_tokens: int = field(init=False)
    ending_token_ids: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        asked = self.params.max_tokens
        self.max_num_tokens = sys.maxsize if asked is None else self.num_prompt_tokens + asked
        self.ending_token_ids = frozenset(self.params.stop_token_ids)

    @property
    def num_tokens(self) -> int:
        """Prompt and generated tokens, those in flight included."""
        return len(self.token_ids) + self.num_in_flight

    @property
    def num_remaining_tokens(self) -> int:
        """Tokens that must still go through the model before the next one can be sampled."""
        return len(self.token_ids) + self.num_in_flight - self.num_computed_tokens

    @property
    def output_token_ids(self) -> list[int]:
        """The generated tokens whose values are known."""
        return self.token_ids[self.num_prompt_tokens :].tolist()

    def table(self) -> tuple[int, ...]:
        """The block table as a tuple: the same object until the table grows or is given up."""
        if len(self._table) != len(self.block_table):
            self._table = tuple(self.block_table)
        return self._table

    def forget_table(self) -> None:
        """The next block table is another one, even if it is as long."""
        self._table = ()

    def restarted(self) -> "Sequence":
        """A copy with the same tokens, of which nothing is computed yet."""
        return Sequence(
            self.seq_id, self.token_ids[:], self.num_prompt_tokens, self.params, self.seed
        )
