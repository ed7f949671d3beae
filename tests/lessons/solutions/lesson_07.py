"""Solutions of lesson 07, chunked prefill."""


def cut_prompt(num_prompt_tokens, num_decoding, budget):
    """The sizes of the chunks in which the prompt is computed."""
    chunks = []
    left = num_prompt_tokens
    while left > 0:
        chunks.append(min(left, budget - num_decoding))
        left -= chunks[-1]
    return chunks


def choose_budget(max_gap_ms, step_ms, token_ms):
    """The largest token budget whose full step is no longer than the gap allowed."""
    return int((max_gap_ms - step_ms) / token_ms)
