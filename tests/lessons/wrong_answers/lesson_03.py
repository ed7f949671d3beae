from tests.lessons.wrong_answers import wrong


@wrong("03.1", "as if the sequence lay in one piece")
def contiguous(block_table, start, num_tokens, block_size):
    return list(range(start, start + num_tokens))


@wrong("03.1", "starts at slot block_id * block_size")
def adds_the_offset_to_the_block_id(block_table, start, num_tokens, block_size):
    return [block_table[p // block_size] + p % block_size for p in range(start, start + num_tokens)]


@wrong("03.1", "the offset is missing")
def start_of_the_block(block_table, start, num_tokens, block_size):
    return [block_table[p // block_size] * block_size for p in range(start, start + num_tokens)]


@wrong("03.1", "the tokens begin at position `start`")
def counts_from_zero(block_table, start, num_tokens, block_size):
    return [block_table[p // block_size] * block_size + p % block_size for p in range(num_tokens)]


@wrong("03.1", "must give 7 slots")
def only_one_block(block_table, start, num_tokens, block_size):
    first = block_table[start // block_size] * block_size + start % block_size
    return list(range(first, first + min(num_tokens, block_size)))


@wrong("03.2", "only partly filled is a block too")
def rounds_down(num_held, num_tokens, block_size):
    return max(0, num_tokens // block_size - num_held)


@wrong("03.2", "exactly full needs no next one yet")
def one_block_early(num_held, num_tokens, block_size):
    return max(0, num_tokens // block_size + 1 - num_held)


@wrong("03.2", "may need several blocks")
def at_most_one(num_held, num_tokens, block_size):
    return 1 if num_tokens > num_held * block_size else 0


@wrong("03.2", "never negative")
def may_be_negative(num_held, num_tokens, block_size):
    return -(-num_tokens // block_size) - num_held


@wrong("03.2", "is a whole number; you gave 0.25 (float)")
def divides(num_held, num_tokens, block_size):
    return num_tokens / block_size - num_held


@wrong("03.1", "slot_mapping is a list; you gave 28 (int)")
def one_slot(block_table, start, num_tokens, block_size):
    return block_table[start // block_size] * block_size + start % block_size


@wrong("03.1", "Entry 0 of slot_mapping is a whole number; you gave 28.0 (float)")
def slots_in_floats(block_table, start, num_tokens, block_size):
    return [
        block_table[p // block_size] * float(block_size) + p % block_size
        for p in range(start, start + num_tokens)
    ]
