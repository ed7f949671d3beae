from itertools import accumulate

import torch

from tests.lessons.wrong_answers import wrong


def starts_of(spans):
    return [0, *accumulate(span.num_tokens for span in spans)]


def positions_of(spans):
    return [position for span in spans for position in range(span.start, span.end)]


@wrong("10.1", "not of the span")
def positions_within_the_span(spans):
    positions = [i for span in spans for i in range(span.num_tokens)]
    return positions, starts_of(spans), [span.end for span in spans]


@wrong("10.1", "the end of the last one")
def one_start_too_few(spans):
    return positions_of(spans), starts_of(spans)[:-1], [span.end for span in spans]


@wrong("10.1", "not the span alone")
def context_is_the_span(spans):
    return positions_of(spans), starts_of(spans), [span.num_tokens for span in spans]


@wrong("10.1", "belong to the context too")
def context_ends_before_the_span(spans):
    return positions_of(spans), starts_of(spans), [span.start for span in spans]


@wrong("10.1", "Return three lists")
def positions_only(spans):
    return positions_of(spans)


@wrong("10.2", "yields no token")
def every_span(spans):
    return [start - 1 for start in starts_of(spans)[1:]]


@wrong("10.2", "follows from the *last* token")
def first_tokens(spans):
    starts = starts_of(spans)
    return [start for start, span in zip(starts, spans, strict=False) if span.is_sampled]


@wrong("10.2", "counted over the whole batch")
def within_the_span(spans):
    return [span.num_tokens - 1 for span in spans if span.is_sampled]


@wrong("10.2", "yields no token")
def all_tokens(spans):
    return list(range(starts_of(spans)[-1]))


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
