"""`ChecksumRunner`: an engine's worth of paging without a model, in pure Python.

A test double that is wrong exactly when paging is wrong. Each KV slot holds a checksum chained from
the token and the slot of the position before, *read through the block table*; a sample hashes every
slot of the sequence, read the same way. One stale block, one wrong slot, one missing token anywhere
in the context, and the sampled token is another one.

The true answer needs no cache at all: `expected_tokens` computes it from the tokens alone.

It knows nothing of torch. Read next: `runners/eager.py`, which does the same with a model.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.plan import Chunk, StepPlan, TokenLogprobs
from nanovllm_edu.core.request.sampling_params import SamplingParams

UNWRITTEN = -0xDEAD
"""What a slot holds before anything is stored in it (no token or hash can equal it)."""


@dataclass(slots=True)
class ReadyTicket:
    """A step that was already done when it was launched."""

    tokens: Mapping[int, int]
    logprobs: Mapping[int, TokenLogprobs] = field(default_factory=dict[int, TokenLogprobs])
    timings: Mapping[str, float] = field(default_factory=dict[str, float])

    def wait(self) -> Mapping[int, int]:
        return self.tokens


class ChecksumRunner:
    """A `ModelRunner` whose "model" is a hash of everything that came before.

    Args:
        num_blocks: Blocks in the pool.
        block_size: Slots per block.
        vocab_size: Sampled tokens are in [0, vocab_size).
        max_model_len: Positions it accepts.
        eos_token_ids: Tokens that end a sequence.
    """

    def __init__(
        self,
        num_blocks: int = 64,
        block_size: int = 4,
        *,
        vocab_size: int = 1000,
        max_model_len: int = 4096,
        eos_token_ids: frozenset[int] = frozenset(),
    ) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.vocab_size = vocab_size
        self.max_model_len = max_model_len
        self.eos_token_ids = eos_token_ids
        self._kv = [UNWRITTEN] * (num_blocks * block_size)
        self._block_tables: dict[int, list[int]] = {}  # slot -> mirror of the block table
        self._last_sampled: dict[int, int] = {}  # slot -> token

    def launch(self, plan: StepPlan) -> ReadyTicket:
        """Computes the step at once: stores each chunk's checksums, then samples."""
        return ReadyTicket({c.seq_id: self._sample(c) for c in plan.chunks if self._store(c)})

    def fork(self, num_blocks: int | None = None, block_size: int | None = None):
        """A runner of its own: a copy, or a blank one of another geometry."""
        if num_blocks is None and block_size is None:
            return deepcopy(self)
        return ChecksumRunner(
            num_blocks or self.num_blocks,
            block_size or self.block_size,
            vocab_size=self.vocab_size,
            max_model_len=self.max_model_len,
            eos_token_ids=self.eos_token_ids,
        )

    def close(self) -> None:
        """Forgets the cache."""
        self._kv.clear()

    def mirror(self, slot: int) -> list[int]:
        """The runner's copy of a slot's block table."""
        return self._block_tables[slot]

    def _store(self, chunk: Chunk) -> bool:
        """Writes the chunk's slots; returns whether it samples."""
        table = self._block_tables.setdefault(chunk.slot, [])
        table[chunk.first_block :] = chunk.new_block_ids
        token_ids = chunk.token_ids or (self._last_sampled[chunk.slot],)
        for position, token_id in enumerate(token_ids, chunk.start):
            before = self._read(table, position - 1) if position else None
            self._kv[self._slot(table, position)] = checksum(before, token_id)
        return chunk.samples

    def _sample(self, chunk: Chunk) -> int:
        table = self._block_tables[chunk.slot]
        context = [self._read(table, position) for position in range(chunk.end)]
        token = sample(context, chunk.params, chunk.seed, self.vocab_size)
        self._last_sampled[chunk.slot] = token
        return token

    def _slot(self, table: list[int], position: int) -> int:
        return table[position // self.block_size] * self.block_size + position % self.block_size

    def _read(self, table: list[int], position: int) -> int:
        return self._kv[self._slot(table, position)]

    def __repr__(self) -> str:
        return f"ChecksumRunner(num_blocks={self.num_blocks}, block_size={self.block_size})"


def checksum(before: int | None, token_id: int) -> int:
    """The content of a KV slot: the token, chained to everything before it."""
    return block_hash(None if before is None else before % 2**64, (token_id,))


def sample(context: list[int], params: SamplingParams, seed: int, vocab_size: int) -> int:
    """A token from the whole context; of (seed, position) too unless greedy."""
    salt = 0 if params.is_greedy else seed + 1
    digest = salt % 2**64
    for value in context:
        digest = block_hash(digest, (value % 2**63,))
    return digest % vocab_size


def expected_tokens(
    prompt: list[int],
    params: SamplingParams,
    seed: int,
    *,
    vocab_size: int = 1000,
    max_model_len: int = 4096,
    eos_token_ids: frozenset[int] = frozenset(),
) -> list[int]:
    """The tokens that a correct engine generates, computed without cache, blocks or scheduler."""
    context: list[int] = []
    output: list[int] = []
    for token_id in prompt:
        context.append(checksum(context[-1] if context else None, token_id))
    while True:
        token_id = sample(context, params, seed, vocab_size)
        output.append(token_id)
        is_end = token_id in eos_token_ids and not params.ignore_eos
        is_full = len(prompt) + len(output) >= max_model_len
        if is_end or token_id in params.stop_token_ids or is_full:
            return output
        if params.max_tokens is not None and len(output) >= params.max_tokens:
            return output
        context.append(checksum(context[-1], token_id))
