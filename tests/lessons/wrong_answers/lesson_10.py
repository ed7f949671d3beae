from itertools import accumulate

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
