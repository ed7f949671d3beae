"""Exercises of lesson 03, paged memory: from a position to a slot, and when a block is needed."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from nanovllm_edu.core.events import counted
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import DEVICE_TIER, BlockRef
from nanovllm_edu.core.request.sequence import Sequence as EngineSequence
from nanovllm_edu.lessons.checks import (
    checksum_engine,
    finish,
    generated,
    greedy,
    require,
    require_equal,
    whole_number,
    whole_numbers,
)
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.shown import shown
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens

PROMPTS = ([5, 6, 7, 8, 9, 10, 11], [20, 21, 22], [30, 31, 32, 33])


# ------------------------------------------------------------------------- 03.1 slot mapping

SlotMapping = Callable[[Sequence[int], int, int, int], Sequence[int]]


class _MappedRunner(ChecksumRunner):
    """Finds every slot, for writing and for reading, through the learner's function."""

    def __init__(self, slot_mapping: SlotMapping) -> None:
        super().__init__(num_blocks=12, block_size=4)
        self.slot_mapping = slot_mapping

    def _slot(self, table: list[int], position: int) -> tuple[BlockRef, int]:
        slots = self.slot_mapping(table, position, 1, self.block_size)
        block_id, offset = divmod(whole_numbers(slots, "slot_mapping")[0], self.block_size)
        return BlockRef(DEVICE_TIER, block_id), offset


def _check_slot_mapping(slot_mapping: SlotMapping, random: Random) -> str:
    fixed = [([7, 2, 5], start, count, 4) for start, count in ((0, 3), (5, 1), (2, 7), (8, 4))]
    for table, start, num_tokens, block_size in (*fixed, *_random_runs(random)):
        got = slot_mapping(list(table), start, num_tokens, block_size)
        slots = whole_numbers(got, "slot_mapping")
        _compare_slots(slots, table, start, num_tokens, block_size)
    engine = checksum_engine(runner=_MappedRunner(slot_mapping))
    for prompt in PROMPTS:
        engine.add_request(list(prompt), greedy(6))
    tokens = generated(finish(engine))
    for seq_id, prompt in enumerate(PROMPTS):
        want = expected_tokens(list(prompt), greedy(6), 0)
        require_equal(tokens[seq_id], want, f"Inside the engine, the output of seq {seq_id}")
    num_tokens = sum(len(prompt) + 6 for prompt in PROMPTS)
    return f"3 sequences, {num_tokens} tokens, every one found again through your slots."


def _random_runs(random: Random) -> list[tuple[list[int], int, int, int]]:
    """(block table, start, number of tokens, block size)."""
    runs: list[tuple[list[int], int, int, int]] = []
    for block_size in (1, 3, 16):
        table = random.sample(range(40), random.randint(2, 6))
        start = random.randrange(len(table) * block_size)
        runs.append((table, start, random.randint(1, len(table) * block_size - start), block_size))
    return runs


def _compare_slots(
    got: list[int], table: list[int], start: int, num_tokens: int, block_size: int
) -> None:
    call = f"slot_mapping({table}, {start}, {num_tokens}, {block_size})"
    require(
        len(got) == num_tokens,
        f"{call} must give {counted(num_tokens, 'slot')}, one per token; you gave {len(got)}: "
        f"{shown(got)}.",
    )
    for i, position in enumerate(range(start, start + num_tokens)):
        block, offset = table[position // block_size], position % block_size
        want = block * block_size + offset
        if got[i] != want:
            require(
                False,
                f"{call}: position {position} is in logical block {position // block_size}, which "
                f"is physical block {block}, at offset {offset}: slot {want}. You gave {got[i]}."
                + _why_that_slot(got[i], table, start, position, block_size),
            )


def _why_that_slot(got: int, table: list[int], start: int, position: int, block_size: int) -> str:
    logical, offset = divmod(position, block_size)
    first = position - start
    mistakes = {
        position: "That is the position itself, as if the sequence lay in one piece.",
        table[logical] + offset: "A physical block starts at slot block_id * block_size.",
        table[logical] * block_size: "That is the start of the block; the offset is missing.",
        table[first // block_size] * block_size
        + first % block_size: "You counted from 0; the tokens begin at position `start`.",
    }
    return " " + mistakes[got] if got in mistakes else ""


SLOT_MAPPING = Exercise(
    "03.1",
    "From position to slot",
    "slot_mapping",
    "easy",
    (
        "A position has two parts: which block it is in, and where in that block.",
        "position // block_size is the logical block, position % block_size the offset. The block "
        "table turns the logical block into a physical one.",
        "slot = block_table[position // block_size] * block_size + position % block_size, for each "
        "position in range(start, start + num_tokens).",
    ),
    _check_slot_mapping,
)


# --------------------------------------------------------------------------- 03.2 new blocks

NumNewBlocks = Callable[[int, int, int], int]


class _LearnersManager(BlockManager):
    """A block manager that asks the learner how many blocks a sequence lacks."""

    num_new: NumNewBlocks

    def num_new_blocks(self, seq: EngineSequence, end: int) -> int:
        num_new = self.num_new(len(seq.block_table), end, self.block_size)
        return whole_number(num_new, "num_new_blocks")

    def num_blocks_for(self, num_tokens: int) -> int:
        return whole_number(self.num_new(0, num_tokens, self.block_size), "num_new_blocks")


def _check_num_new_blocks(num_new: NumNewBlocks, random: Random) -> str:
    fresh = [(random.randint(0, 6), random.randint(1, 90), random.randint(1, 16)) for _ in range(8)]
    for held, num_tokens, block_size in (
        (0, 1, 4), (0, 4, 4), (1, 4, 4), (1, 5, 4), (0, 9, 4), (1, 14, 4), (3, 4, 4), (2, 3, 1),
        *fresh,
    ):  # fmt: skip
        call = f"num_new_blocks({held}, {num_tokens}, {block_size})"
        got = whole_number(num_new(held, num_tokens, block_size), call)
        _compare_num_new(got, held, num_tokens, block_size)
    engine = _engine_with(num_new)
    for prompt in PROMPTS:
        engine.add_request(list(prompt), greedy(6))
    records = finish(engine)
    engine.scheduler.check_invariants()
    most = max(sum(map(len, record.block_tables.values())) for record in records)
    return f"Your rule ran 3 sequences in at most {most} blocks; not one was taken too early."


def _compare_num_new(got: int, held: int, num_tokens: int, block_size: int) -> None:
    needed = -(-num_tokens // block_size)
    want = max(0, needed - held)
    because = ""
    if got < 0:
        because = " A number of blocks is never negative: it holds more than it needs already."
    elif got == num_tokens // block_size - held:
        because = " A last block that is only partly filled is a block too."
    elif got > want and num_tokens % block_size == 0:
        because = " A block that is exactly full needs no next one yet."
    elif got < want and got <= 1:
        because = " One step may bring many tokens (a prompt), so it may need several blocks."
    require(
        got == want,
        f"{num_tokens} tokens in blocks of {block_size} take {counted(needed, 'block')}, and the "
        f"sequence holds {held}: it lacks {want}. You gave {got}.{because}",
    )


def _engine_with(num_new: NumNewBlocks) -> Any:
    engine = checksum_engine(num_blocks=12, block_size=4)
    manager = _LearnersManager(12, 4)
    manager.num_new = num_new
    engine.scheduler.block_manager = manager
    return engine


NUM_NEW_BLOCKS = Exercise(
    "03.2",
    "When is a new block needed?",
    "num_new_blocks",
    "easy",
    (
        "How many blocks do 4 tokens need if a block holds 4? And 5 tokens?",
        "Round up: a partly filled block counts. Then take away what the sequence holds.",
        "max(0, -(-num_tokens // block_size) - num_held). In Python -(-a // b) divides and rounds "
        "up.",
    ),
    _check_num_new_blocks,
)

EXERCISES = (SLOT_MAPPING, NUM_NEW_BLOCKS)
