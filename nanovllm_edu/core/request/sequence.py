"""`Sequence`: one request on its way through the engine.

The only mutable record of the core. The scheduler and the block manager write it; everybody else
reads. It knows its tokens, its place in memory and how far it has been computed; it does not know
which other sequences exist, nor what a cache remembers of it.

A step *claims* before the device has computed anything, and *settles* when the values are here:

    [0, num_computed_tokens)            keys and values are in the KV cache (or on their way)
    [num_computed_tokens, num_tokens)   must still go through the model
    [0, len(token_ids))                 settled: the values are known
    [len(token_ids), num_tokens)        claimed: on their way from the device; at most so many come

There is no "prefill" or "decode" state: a step computes the next `num_tokens -
num_computed_tokens` tokens, or a part of them. One left over is what others call decode.

Read next: `core/request/sampling_params.py`, `core/request/judges.py`, `core/request/ending.py`.
"""

import sys
from array import array
from collections.abc import Hashable
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from nanovllm_edu.core.request.judges import Grammar, Judge
from nanovllm_edu.core.request.sampling_params import SamplingParams

TOKEN_TYPE = "Q"
"""The `array` type of token ids: unsigned, 8 bytes each. Cutting, comparing and hashing them goes
at the speed of memory, and the garbage collector has nothing to walk."""


class SequenceStatus(Enum):
    """Where a sequence is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class TokenLogprobs(NamedTuple):
    """Log probabilities at one position: the sampled token's, and the likeliest tokens'."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(slots=True, eq=False, repr=False)
class Sequence:
    """One request: its tokens, its blocks, its progress.

    Attributes:
        seq_id: Unique in its engine, ascending in order of arrival.
        token_ids: Prompt, then every generated token whose value is known.
        num_prompt_tokens: Where the prompt ends in `token_ids`.
        params: How to sample, when to stop.
        seed: The seed in force: the request's own, or the one the engine gave it.
        prompt_id: The seq_id of the first answer to its prompt, if there are several; those with
            the same one share what is computed of it. None if it is the only one.
        status: Waiting, running or finished.
        row: Its line in the device's tables while running, else None.
        block_table: Physical block id of each logical block. The authority: whatever a device
            holds is a copy.
        num_computed_tokens: Tokens whose keys and values are in the cache.
        num_claimed: At most so many tokens are on their way from the device.
        is_decoding: Whether it was sampled from since it took its row.
        num_prefix_hit_tokens: Prompt tokens found in the cache when first admitted.
        num_preemptions: How often it had to give way.
        max_num_tokens: The longest it may grow: prompt and `params.max_tokens`, or what fits the
            scheduler's `max_model_len`.
        ending_token_ids: Tokens that end it: its `stop_token_ids`, and the model's end of sequence
            unless it ignores that.
        judge: Decides by its text whether it ends; None if no text can end it.
        grammar: Knows which tokens may come next; None if all may.
        token_times: When each generated token was settled, as the engine's clock says.
        logprobs: Of each generated token, if asked for.
        finish_reason: "stop", "length", "abort" or "error" once finished.
        finish_detail: What is behind it.
        stop_reason: The stop string, or the one of `stop_token_ids`, that ended it.
        client: Who asked, if it was told. Only a policy looks at it.
    """

    seq_id: int
    token_ids: "array[int]"
    num_prompt_tokens: int
    params: SamplingParams
    seed: int = 0
    prompt_id: int | None = None
    status: SequenceStatus = SequenceStatus.WAITING
    row: int | None = None
    num_computed_tokens: int = 0
    num_claimed: int = 0
    is_decoding: bool = False
    num_prefix_hit_tokens: int | None = None
    num_preemptions: int = 0
    judge: Judge | None = None
    grammar: Grammar | None = None
    finish_reason: str | None = None
    finish_detail: str = ""
    stop_reason: int | str | None = None
    client: Hashable = None
    _table: tuple[int, ...] = ()
    block_table: list[int] = field(init=False)
    token_times: list[float] = field(init=False)
    logprobs: list[TokenLogprobs] = field(init=False)
    max_num_tokens: int = field(init=False)
    ending_token_ids: frozenset[int] = field(init=False)

    def __repr__(self) -> str:
        """Short: messages to learners show it."""
        tokens = f"{len(self.token_ids)} tokens, {self.num_prompt_tokens} of them prompt"
        return f"Sequence(seq_id={self.seq_id}, {self.status.value}, {tokens})"

    def __post_init__(self) -> None:
        asked = self.params.max_tokens
        self.max_num_tokens = sys.maxsize if asked is None else self.num_prompt_tokens + asked
        self.ending_token_ids = frozenset(self.params.stop_token_ids)
        self.block_table, self.token_times, self.logprobs = [], [], []

    @property
    def has_begun(self) -> bool:
        """Whether it was ever admitted."""
        return self.num_prefix_hit_tokens is not None

    @property
    def num_tokens(self) -> int:
        """Prompt and generated tokens, claimed ones included."""
        return len(self.token_ids) + self.num_claimed

    @property
    def num_remaining_tokens(self) -> int:
        """Tokens that must still go through the model before the next one can be sampled."""
        return len(self.token_ids) + self.num_claimed - self.num_computed_tokens

    @property
    def num_settled_computed(self) -> int:
        """Tokens that are both computed and known: only these are ever hashed or shared.

        The newest token is known before it is computed; a claimed one is computed before it is
        known.
        """
        return min(self.num_computed_tokens, len(self.token_ids))

    @property
    def output_token_ids(self) -> list[int]:
        """The generated tokens whose values are known."""
        return self.token_ids[self.num_prompt_tokens :].tolist()

    def table(self) -> tuple[int, ...]:
        """The block table as a tuple: the same object until the table changes."""
        if len(self._table) != len(self.block_table):
            self._table = tuple(self.block_table)
        return self._table

    def forget_table(self) -> None:
        """The next block table is another one, even if it is as long."""
        self._table = ()

    def restarted(self) -> "Sequence":
        """A copy with the same tokens, of which nothing is computed yet."""
        twin = Sequence(
            self.seq_id,
            self.token_ids[:],
            self.num_prompt_tokens,
            self.params,
            self.seed,
            self.prompt_id,
        )
        twin.judge, twin.grammar = deepcopy(self.judge), deepcopy(self.grammar)
        twin.client = self.client
        twin.token_times, twin.logprobs = list(self.token_times), list(self.logprobs)
        return twin
