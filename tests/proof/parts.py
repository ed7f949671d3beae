"""Parts of an engine that use all of the step protocol, and a device that fails now and then.

ProofRunner       groups with numbers of their own; fails in launch, in wait, or in one row
MovingScheduler   moves private blocks to other blocks, through the host's memory and back
Guesser           guesses right, wrong, half right, too much, nothing, or raises
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from nanovllm_edu.core.plan import BlockCopy, BlockRef, BlockUpdate, Span, StepOutput, StepPlan
from nanovllm_edu.core.request.sequence import Sequence as Request
from nanovllm_edu.core.schedule.policy import Groups, Queue
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.runners.checksum import ChecksumRunner, ReadyTicket
from tests.proof.truth import VOCAB_SIZE, Truth

GARBAGE = 0x6A3BA6E
NUM_HOST_BLOCKS = 6


class DeviceFailure(RuntimeError):
    """What a device raises when it fails."""


class FailedTicket(ReadyTicket):
    def wait(self) -> StepOutput:
        raise DeviceFailure("the device failed while it was waited for")


class ProofRunner(ChecksumRunner):
    """A device whose groups number their blocks differently, and that can fail.

    The engine knows `num_blocks` blocks; block b of group 1 is another place in memory, so each
    update and each copy is said once more for it.
    """

    def __init__(self, num_blocks: int, block_size: int, *, num_groups: int = 1, **options: Any):
        options.setdefault("vocab_size", VOCAB_SIZE)
        host = options.pop("num_host_blocks", NUM_HOST_BLOCKS)
        super().__init__(
            num_blocks * num_groups,
            block_size,
            num_groups=num_groups,
            num_host_blocks=host * num_groups,
            **options,
        )
        self.num_blocks, self._options = num_blocks, options
        self.random = Random(0)
        self.fault_rate = 0.0
        self.num_faults = 0

    def block_in(self, group: int, block_id: int) -> int:
        """Where a group keeps what the engine calls this block."""
        own = self.num_blocks - 1 - block_id if group else block_id
        return group * self.num_blocks + own

    def place_in(self, group: int, block: BlockRef) -> BlockRef:
        if block.tier:
            return BlockRef(block.tier, group * NUM_HOST_BLOCKS + block.block_id)
        return BlockRef(block.tier, self.block_in(group, block.block_id))

    def launch(self, plan: StepPlan) -> ReadyTicket:
        plan = self._with_groups(plan)
        fault = self.random.choice("lwe") if self.random.random() < self.fault_rate else ""
        self.num_faults += bool(fault)
        if fault == "l" and self.random.random() < 0.3:
            raise DeviceFailure("the device failed at once")
        ticket = super().launch(plan)
        if fault in ("l", "w"):
            for span in plan.spans:
                self._spoil(span)
            if fault == "l":
                raise DeviceFailure("the device failed in the middle of a launch")
            return FailedTicket(ticket.output)
        if fault == "e":
            return ReadyTicket(self._with_errors(plan, ticket.output))
        return ticket

    def spoil_blank(self, blank: Iterable[int]) -> None:
        """What lies in a blank block is worth nothing to anybody."""
        for block_id in blank:
            for group in range(self.num_groups):
                ref = self.place_in(group, BlockRef(0, block_id))
                self._kv[ref] = [[GARBAGE] * self.block_size for _ in range(self.num_groups)]

    def fork(self, num_blocks: int | None = None, block_size: int | None = None) -> Any:
        if num_blocks is None and block_size is None:
            return super().fork()
        return ProofRunner(
            num_blocks or self.num_blocks,
            block_size or self.block_size,
            num_groups=self.num_groups,
            **self._options,
        )

    def _with_groups(self, plan: StepPlan) -> StepPlan:
        if self.num_groups == 1:
            return plan
        updates = [
            BlockUpdate(group, u.row, u.first, tuple(self.block_in(group, b) for b in u.block_ids))
            for u in plan.block_updates
            for group in range(self.num_groups)
        ]
        copies = [
            BlockCopy(self.place_in(group, c.source), self.place_in(group, c.target))
            for c in plan.copies
            for group in range(self.num_groups)
        ]
        return replace(plan, block_updates=tuple(updates), copies=tuple(copies))

    def _spoil(self, span: Span) -> None:
        row = self._rows.get(span.row)
        for group, table in (row.tables if row else {}).items():
            for position in range(span.start, span.end):
                if position // self.block_size < len(table):
                    block, offset = self._slot(table, position)
                    self._kv[block][group][offset] = GARBAGE
        if row:
            row.token_ids[:] = [GARBAGE] * len(row.token_ids)

    def _with_errors(self, plan: StepPlan, output: StepOutput) -> StepOutput:
        failed = {s.seq_id: "its row failed" for s in plan.spans if self.random.random() < 0.3}
        tokens = {i: tokens for i, tokens in output.tokens.items() if i not in failed}
        return StepOutput(tokens, errors=failed)


@dataclass
class Moves:
    """What a `MovingScheduler` remembers.

    Attributes:
        random: Decides.
        rate: How often a plan moves blocks.
        num_moves: How many copies it asked for.
        saved: (seq_id, logical block) -> (host block, preemptions of the sequence then).
        tables: The block tables as the newest plans left them, by step.
    """

    random: Random
    rate: float = 0.5
    num_moves: int = 0
    saved: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    tables: dict[int, dict[int, tuple[int, ...]]] = field(default_factory=dict)


class MovingScheduler(Scheduler):
    """A scheduler whose plans move private blocks of running sequences about."""

    moves: Moves

    def plan(self) -> StepPlan:
        plan = super().plan()
        if plan.spans and self.moves.random.random() < self.moves.rate:
            plan = self._with_moves(plan)
        tables = {seq_id: tuple(seq.block_table) for seq_id, seq in self.running.items()}
        self.moves.tables[plan.step_id] = tables
        return plan

    def _with_moves(self, plan: StepPlan) -> StepPlan:
        random, copies, updates = self.moves.random, [], []
        for span in plan.spans:
            seq = self.running.get(span.seq_id)
            if seq is None or random.random() < 0.5:
                continue
            private = [i for i, b in enumerate(seq.block_table) if self._is_private(b)]
            pool = self.block_manager.pool
            if not private or not pool.blank:
                continue
            index = random.choice(private)
            source = self.block_manager.blocks[seq.block_table[index]]
            target = pool.allocate_blank()
            copies += self._way(seq, index, source.block_id, target.block_id, span)
            seq.block_table[index] = target.block_id
            seq.forget_table()
            pool.release(source)
            updates.append(BlockUpdate(0, span.row, index, tuple(seq.block_table[index:])))
        self.moves.num_moves += len(copies)
        return replace(
            plan,
            block_updates=(*plan.block_updates, *updates),
            copies=(*plan.copies, *copies),
        )

    def _way(
        self, seq: Request, index: int, source: int, target: int, span: Span
    ) -> list[BlockCopy]:
        """From one block to another: at once, through the host, or out of what it kept."""
        random = self.moves.random
        here, there = BlockRef(0, source), BlockRef(0, target)
        kept = self.moves.saved.pop((seq.seq_id, index), None)
        if kept and kept[1] == seq.num_preemptions and random.random() < 0.8:
            return [BlockCopy(BlockRef(1, kept[0]), there)]
        if random.random() < 0.5:
            return [BlockCopy(here, there)]
        host = random.randrange(NUM_HOST_BLOCKS)
        for key in [key for key, value in self.moves.saved.items() if value[0] == host]:
            del self.moves.saved[key]
        if (index + 1) * self.block_manager.block_size <= min(span.start, len(seq.token_ids)):
            self.moves.saved[seq.seq_id, index] = host, seq.num_preemptions
        return [BlockCopy(here, BlockRef(1, host)), BlockCopy(BlockRef(1, host), there)]

    def _is_private(self, block_id: int) -> bool:
        block = self.block_manager.blocks[block_id]
        return block.ref_count == 1 and block.content is None


@dataclass
class Guesser:
    """A proposer that knows the truth and does not always tell it."""

    truth: Truth
    random: Random
    num_guesses: int = 0

    def propose(self, token_ids: Sequence[int], num_tokens: int) -> Any:
        random = self.random
        mood = random.choice(("right", "right", "half", "wrong", "none", "many", "raises", "odd"))
        if mood == "raises":
            raise ValueError("no idea")
        if mood == "odd":
            return random.choice((None, ["x"], [None], 7, "text"))
        count = random.randint(1, min(num_tokens, 6))
        guesses = self._right(list(token_ids), count)
        if mood == "half":
            guesses[random.randrange(count)] = random.randrange(VOCAB_SIZE)
        if mood == "wrong":
            guesses = [random.randrange(VOCAB_SIZE) for _ in guesses]
        if mood == "many":
            guesses += [1] * num_tokens
        self.num_guesses += len(guesses)
        return [] if mood == "none" else guesses

    def _right(self, tokens: list[int], count: int) -> list[int]:
        live = [k for k in self.truth.requests.values() if not k.reason and k.tokens == tokens]
        return self.random.choice(live).guesses(count) if live else [0] * count


class Shuffled:
    """An order without any sense: no policy may break the engine, however odd."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def order(self, running: Queue, waiting: Queue) -> Groups:
        everybody = [*running, *waiting]
        self._random.shuffle(everybody)
        return [everybody]

    def victim(self, candidates: list[Request]) -> Request:
        return self._random.choice(candidates)
