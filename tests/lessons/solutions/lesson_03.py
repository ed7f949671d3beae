"""Solutions of lesson 03, paged memory."""


def slot_mapping(block_table, start, num_tokens, block_size):
    """The KV slots of positions [start, start + num_tokens)."""
    return [
        block_table[position // block_size] * block_size + position % block_size
        for position in range(start, start + num_tokens)
    ]


def num_new_blocks(num_held, num_tokens, block_size):
    """How many blocks a sequence lacks to hold `num_tokens` tokens."""
    num_needed = -(-num_tokens // block_size)  # round up
    return max(0, num_needed - num_held)
