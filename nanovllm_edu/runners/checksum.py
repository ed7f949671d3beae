"""`ChecksumRunner`: an engine's worth of paging without a model, in pure Python.

A test double that is wrong exactly when paging is wrong. Each KV slot holds a checksum chained from
the token and the slot of the position before, *read through the block table*; a sample hashes every
slot of the sequence, read the same way. One stale block, one wrong slot, one missing token anywhere
in the context, and the sampled token is another one.

It executes the whole step protocol: several tokens of a span, guesses included, copies of blocks
between tiers, and groups of layers with block tables of their own.

The true answer needs no cache at all: `expected_tokens` computes it from the tokens alone.

It knows nothing of torch. Read next: `runners/eager.py`, which does the same with a model;
`runners/browser/floats.py`, where a model runs without torch.
"""

from copy import deepcopy
from dataclasses import dataclass

from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.plan import DEVICE_TIER, BlockRef, Joined, Span, StepOutput, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams

UNWRITTEN = -0xDEAD
"""What a slot holds before anything is stored in it (no token or hash can equal it)."""

Table = list[int]
Slots = list[int]


@dataclass(slots=True)
class ReadyTicket:
    """A step that was already done when it was launched."""

    output: StepOutput

    @property
    def is_done(self) -> bool:
        return True

    def wait(self) -> StepOutput:
        return self.output


@dataclass(slots=True)
class Row:
    """What is known of one sequence: what `Joined` said, and its tokens by position."""

    joined: Joined
    sampling: SamplingParams
    token_ids: list[int]
    tables: dict[int, Table]
    """Group -> block table."""
    masks: tuple[bytes, ...] = ()
    """What may be drawn at each position of the newest step; () if everything."""


def take_news(rows: dict[int, Row], plan: StepPlan) -> None:
    """Who left, who joined, who is sampled differently; what is new in block tables; masks."""
    for row in plan.left:
        rows.pop(row, None)
    for joined in plan.joined:
        rows[joined.row] = Row(joined, joined.sampling, list(joined.token_ids), {})
    for update in plan.sampling_updates:
        rows[update.row].sampling = update.sampling
    for update in plan.block_updates:
        table = rows[update.row].tables.setdefault(update.group, [])
        table[update.first :] = update.block_ids
    for held in plan.masks:
        rows[held.row].masks = held.masks


class ChecksumRunner:
    """A `ModelRunner` whose "model" is a hash of everything that came before.

    Args:
        num_blocks: Blocks in the pool.
        block_size: Slots per block.
        vocab_size: Sampled tokens are in [0, vocab_size).
        max_model_len: Positions it accepts.
        eos_token_ids: Tokens that end a sequence.
        num_groups: Groups of layers; each keeps keys and values of its own.
        num_host_blocks: Blocks of tier 1, which can only be copied from and to.
    """

    def __init__(
        self,
        num_blocks: int = 64,
        block_size: int = 4,
        *,
        vocab_size: int = 1000,
        max_model_len: int = 4096,
        eos_token_ids: frozenset[int] = frozenset(),
        num_groups: int = 1,
        num_host_blocks: int = 0,
    ) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.vocab_size = vocab_size
        self.max_model_len = max_model_len
        self.eos_token_ids = eos_token_ids
        self.num_groups = num_groups
        self._num_host_blocks = num_host_blocks
        self._rows: dict[int, Row] = {}
        self._kv: dict[BlockRef, list[Slots]] = {}  # block -> its slots in each group
        for tier, count in enumerate((num_blocks, num_host_blocks)):
            for block_id in range(count):
                blank = [[UNWRITTEN] * block_size for _ in range(num_groups)]
                self._kv[BlockRef(tier, block_id)] = blank

    def launch(self, plan: StepPlan) -> ReadyTicket:
        """Computes the step at once: takes in the news, stores each span, then samples."""
        take_news(self._rows, plan)
        for copy in plan.copies:
            assert copy.target in self._kv, "a copy to a block that is not there"
            self._kv[copy.target] = [list(slots) for slots in self._kv[copy.source]]
        for span in plan.spans:
            self._store(span)
        return ReadyTicket(StepOutput({s.seq_id: self._sample(s) for s in plan.spans.sampled}))

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
            num_groups=self.num_groups,
            num_host_blocks=self._num_host_blocks,
        )

    def close(self) -> None:
        """Forgets the cache."""
        self._kv.clear()

    def mirror(self, row: int, group: int = 0) -> Table:
        """The runner's copy of a row's block table."""
        return self._rows[row].tables[group]

    def slots(self, block: BlockRef, group: int = 0) -> Slots:
        """What a block holds."""
        return self._kv[block][group]

    def _store(self, span: Span) -> None:
        """Writes the span's slots, in every group."""
        row = self._rows[span.row]
        assert row.joined.seq_id == span.seq_id, "a span of a sequence that never joined its row"
        assert span.num_tokens > span.num_drafted, "sampled from where no token is computed"
        if span.given:
            row.token_ids[span.start :] = span.given
        for group, table in row.tables.items():
            for position in range(span.start, span.end):
                before = self._read(table, group, position - 1) if position else None
                block, offset = self._slot(table, position)
                value = checksum(before, row.token_ids[position])
                self._kv[block][group][offset] = value

    def _sample(self, span: Span) -> tuple[int, ...]:
        """The token at each position that is sampled from, up to the first wrong guess."""
        row = self._rows[span.row]
        tokens: list[int] = []
        first = span.end - span.num_drafted
        for end in range(first, span.end + 1):
            contexts = [
                [self._read(table, group, position) for position in range(end)]
                for group, table in row.tables.items()
            ]
            assert all(context == contexts[0] for context in contexts), "groups disagree"
            mask = row.masks[end - first] if row.masks else None
            token = sample(contexts[0], row.sampling, row.joined.seed, self.vocab_size, mask)
            tokens.append(token)
            if end < span.end and row.token_ids[end] != token:
                break
        row.token_ids[span.end - span.num_drafted :] = tokens
        return tuple(tokens)

    def _slot(self, table: Table, position: int) -> tuple[BlockRef, int]:
        block_id = table[position // self.block_size]
        return BlockRef(DEVICE_TIER, block_id), position % self.block_size

    def _read(self, table: Table, group: int, position: int) -> int:
        block, offset = self._slot(table, position)
        return self._kv[block][group][offset]

    def __repr__(self) -> str:
        return f"ChecksumRunner(num_blocks={self.num_blocks}, block_size={self.block_size})"


def checksum(before: int | None, token_id: int) -> int:
    """The content of a KV slot: the token, chained to everything before it."""
    return block_hash(None if before is None else before % 2**64, (token_id,))


def sample(
    context: list[int],
    params: SamplingParams,
    seed: int,
    vocab_size: int,
    mask: bytes | None = None,
) -> int:
    """A token from the whole context; of (seed, position) too unless greedy. A mask has a bit for
    each token: 1 may be drawn.
    """
    salt = 0 if params.is_greedy else seed + 1
    digest = salt % 2**64
    for value in context:
        digest = block_hash(digest, (value % 2**63,))
    if mask is None:
        return digest % vocab_size
    allowed = [i for i in range(vocab_size) if mask[i // 8] >> i % 8 & 1]
    return allowed[digest % len(allowed)] if allowed else 0


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
