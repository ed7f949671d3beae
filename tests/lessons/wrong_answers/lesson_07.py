from tests.lessons.wrong_answers import wrong


@wrong("07.1", "Decodes come first, one token each")
def forgets_the_decodes(num_prompt_tokens, num_decoding, budget):
    full, rest = divmod(num_prompt_tokens, budget)
    return [budget] * full + ([rest] if rest else [])


@wrong("07.1", "contain an empty one")
def empty_chunk_at_the_end(num_prompt_tokens, num_decoding, budget):
    room = budget - num_decoding
    full, rest = divmod(num_prompt_tokens, room)
    return [room] * full + [rest]


@wrong("07.1", "tokens together; the prompt has")
def last_chunk_is_full_too(num_prompt_tokens, num_decoding, budget):
    room = budget - num_decoding
    return [room] * -(-num_prompt_tokens // room)


@wrong("07.1", "Each step takes as much as fits")
def equal_chunks(num_prompt_tokens, num_decoding, budget):
    count = -(-num_prompt_tokens // (budget - num_decoding))
    small, extra = divmod(num_prompt_tokens, count)
    return [small + 1] * extra + [small] * (count - extra)


@wrong("07.1", "Does this loop ever end?")
def never_counts_down(num_prompt_tokens, num_decoding, budget):
    chunks = []
    while num_prompt_tokens > 0:
        chunks.append(min(num_prompt_tokens, budget - num_decoding))
    return chunks


@wrong("07.2", "A full step costs 10.0 + 0.125 * budget")
def forgets_the_weights(max_gap_ms, step_ms, token_ms):
    return int(max_gap_ms / token_ms)


@wrong("07.2", "does not even hold the decodes")
def counts_steps(max_gap_ms, step_ms, token_ms):
    return int((max_gap_ms - step_ms) * token_ms)


@wrong("07.2", "a larger budget computes the prompt in fewer steps")
def always_small(max_gap_ms, step_ms, token_ms):
    return 16


@wrong("07.2", "is a whole number")
def gives_a_float(max_gap_ms, step_ms, token_ms):
    return (max_gap_ms - step_ms) / token_ms


@wrong("07.1", "is a list; you gave 3 (int)")
def counts_the_chunks(num_prompt_tokens, num_decoding, budget):
    return -(-num_prompt_tokens // (budget - num_decoding))


@wrong("07.2", "the longest gap in the engine is")
def rounds(max_gap_ms, step_ms, token_ms):
    return round((max_gap_ms - step_ms) / token_ms)
