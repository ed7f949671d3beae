from itertools import accumulate

import torch

from tests.lessons.wrong_answers import wrong


def starts_of(chunks):
    return [0, *accumulate(chunk.num_tokens for chunk in chunks)]


def positions_of(chunks):
    return [position for chunk in chunks for position in range(chunk.start, chunk.end)]


@wrong("10.1", "not of the chunk")
def positions_within_the_chunk(chunks):
    positions = [i for chunk in chunks for i in range(chunk.num_tokens)]
    return positions, starts_of(chunks), [chunk.end for chunk in chunks]


@wrong("10.1", "the end of the last one")
def one_start_too_few(chunks):
    return positions_of(chunks), starts_of(chunks)[:-1], [chunk.end for chunk in chunks]


@wrong("10.1", "not the chunk alone")
def context_is_the_chunk(chunks):
    return positions_of(chunks), starts_of(chunks), [chunk.num_tokens for chunk in chunks]


@wrong("10.1", "belong to the context too")
def context_ends_before_the_chunk(chunks):
    return positions_of(chunks), starts_of(chunks), [chunk.start for chunk in chunks]


@wrong("10.1", "Return three lists")
def positions_only(chunks):
    return positions_of(chunks)


@wrong("10.2", "yields no token")
def every_chunk(chunks):
    return [start - 1 for start in starts_of(chunks)[1:]]


@wrong("10.2", "follows from the *last* token")
def first_tokens(chunks):
    starts = starts_of(chunks)
    return [start for start, chunk in zip(starts, chunks, strict=False) if chunk.samples]


@wrong("10.2", "counted over the whole batch")
def within_the_chunk(chunks):
    return [chunk.num_tokens - 1 for chunk in chunks if chunk.samples]


@wrong("10.2", "yields no token")
def all_tokens(chunks):
    return list(range(starts_of(chunks)[-1]))


@wrong("10.3", "It replays yesterday's addresses: you made a new tensor")
def makes_new_tensors(inputs, slots, context_lens, scratch_slot):
    padding = 4 - len(slots)
    inputs.slots = torch.tensor([*slots, *[scratch_slot] * padding])
    inputs.context_lens = torch.tensor([*context_lens, *[1] * padding])


@wrong("10.3", "That was the slot of a sequence of the step before")
def forgets_the_padding(inputs, slots, context_lens, scratch_slot):
    inputs.slots[: len(slots)] = torch.tensor(slots)
    inputs.context_lens[: len(slots)] = torch.tensor(context_lens)


@wrong("10.3", "Padding may write to the scratch slot 24 alone")
def pads_with_zero(inputs, slots, context_lens, scratch_slot):
    inputs.slots.zero_()
    inputs.slots[: len(slots)] = torch.tensor(slots)
    inputs.context_lens.fill_(1)
    inputs.context_lens[: len(slots)] = torch.tensor(context_lens)


@wrong("10.3", "it attends to 0 tokens")
def pads_with_no_context(inputs, slots, context_lens, scratch_slot):
    inputs.slots.fill_(scratch_slot)
    inputs.slots[: len(slots)] = torch.tensor(slots)
    inputs.context_lens.zero_()
    inputs.context_lens[: len(slots)] = torch.tensor(context_lens)
