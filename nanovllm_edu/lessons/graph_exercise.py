"""Exercise 10.3: feed a CUDA graph, whose addresses and shapes never change.

A pretended graph: it records where its inputs lie, and a replay reads them there, whatever has
happened since. Every row, padding too, writes its token into the slot that its input names. A pool
remembers what is in each slot, so a row that writes where it should not is found out.

Read next: `runners/graph_inputs.py`, which does this on a GPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.lessons.checks import require
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.shown import shown

FeedGraph = Callable[["Inputs", Sequence[int], Sequence[int], int], Any]
NUM_ROWS, NUM_SLOTS = 4, 24


@dataclass
class Inputs:
    """What a graph of `NUM_ROWS` rows reads: one entry per row.

    Attributes:
        slots: Where each row stores its token's key and value.
        context_lens: How many tokens each row attends to.
    """

    slots: Tensor
    context_lens: Tensor


class PretendedGraph:
    """Records the addresses of its inputs once, and reads them again at each replay."""

    def __init__(self, inputs: Inputs) -> None:
        self._slots, self._context_lens = inputs.slots, inputs.context_lens

    def replay(self) -> tuple[list[int], list[int]]:
        """What the rows find: their slots, and their context lengths."""
        return self._slots.tolist(), self._context_lens.tolist()


def _check_feed_graph(feed_graph: FeedGraph, random: Random) -> str:
    fixed = [([3, 9, 14, 20], [4, 2, 7, 1]), ([4, 10], [5, 3]), ([5, 11, 21], [6, 4, 2])]
    _check_steps(feed_graph, fixed, NUM_SLOTS)
    steps: list[tuple[list[int], list[int]]] = []
    for _ in range(12):
        size = random.randint(1, NUM_ROWS)
        lengths = [random.randint(1, 9) for _ in range(size)]
        steps.append((random.sample(range(NUM_SLOTS), size), lengths))
    _check_steps(feed_graph, steps, NUM_SLOTS + random.randint(0, 5))
    return (
        f"{len(fixed) + len(steps)} steps of 1 to {NUM_ROWS} sequences on one graph: it read every "
        "step's own inputs, and its padding touched nobody's memory."
    )


def _check_steps(
    feed_graph: FeedGraph, steps: Sequence[tuple[list[int], list[int]]], scratch_slot: int
) -> None:
    inputs = Inputs(torch.full((NUM_ROWS,), scratch_slot), torch.ones(NUM_ROWS, dtype=torch.int64))
    graph = PretendedGraph(inputs)
    before: list[int] = []
    for slots, lengths in steps:
        feed_graph(inputs, list(slots), list(lengths), scratch_slot)
        _compare(graph.replay(), inputs, slots, lengths, scratch_slot, before)
        before = slots


def _compare(
    read: tuple[list[int], list[int]],
    inputs: Inputs,
    slots: list[int],
    lengths: list[int],
    scratch_slot: int,
    before: list[int],
) -> None:
    got_slots, got_lengths = read
    step = f"A step of {len(slots)} sequences, slots {slots}"
    size = len(slots)
    is_new = [list(value) for value in (inputs.slots, inputs.context_lens)] != [*map(list, read)]
    require(
        not (is_new and (got_slots[:size] != slots or got_lengths[:size] != lengths)),
        f"{step}: the graph still reads {got_slots}. It replays yesterday's addresses: you made a "
        "new tensor, and it reads the old one. Write into the tensor that is there: tensor[:n] = "
        "..., or copy_().",
    )
    require(
        got_slots[:size] == slots,
        f"{step}: the graph read the slots {shown(got_slots)}; its first {size} rows are the "
        "sequences.",
    )
    require(
        got_lengths[:size] == lengths,
        f"{step}: the context lengths are {lengths}; the graph read {shown(got_lengths)}.",
    )
    for row, slot in enumerate(got_slots[size:], size):
        require(
            slot == scratch_slot,
            f"{step}: row {row} is padding, and it writes to slot {slot}. "
            + (
                "That was the slot of a sequence of the step before: it may belong to somebody "
                "else now."
                if row < len(before) and slot == before[row]
                else f"Padding may write to the scratch slot {scratch_slot} alone."
            ),
        )
    for row, length in enumerate(got_lengths[size:], size):
        require(
            length == 1,
            f"{step}: row {row} is padding, and it attends to {length} tokens. One is enough: 0 "
            "would divide by an empty sum, and more only costs time.",
        )


FEED_GRAPH = Exercise(
    "10.3",
    "Feed a graph",
    "feed_graph",
    "medium",
    (
        "Which tensor does the graph read: the one that inputs.slots is now, or the one that it "
        "was when the graph was recorded?",
        "Write into the old tensors: inputs.slots[:n] = ... The rows from n on are padding, and "
        "still hold what an earlier step has left there.",
        "n = len(slots); inputs.slots.fill_(scratch_slot); inputs.slots[:n] = torch.tensor(slots); "
        "the same for context_lens, with 1 for padding.",
    ),
    _check_feed_graph,
)
