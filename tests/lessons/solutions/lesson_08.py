"""Solutions of lesson 08, preemption."""


def num_recomputed(records):
    """How many tokens went through the model more than once, counted as often as they repeat."""
    seen = set()
    count = 0
    for record in records:
        for span in record.spans:
            for position in range(span.start, span.end):
                count += (span.seq_id, position) in seen
                seen.add((span.seq_id, position))
    return count


def max_running(num_blocks, block_size, num_prompt_tokens, max_tokens):
    """How many equal sequences can run to their end without a preemption."""
    num_computed_tokens = num_prompt_tokens + max_tokens - 1
    blocks_each = -(-num_computed_tokens // block_size)
    return num_blocks // blocks_each
