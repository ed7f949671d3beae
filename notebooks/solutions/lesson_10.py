"""Solutions of lesson 10, the model runner."""


def layout(chunks):
    """Positions, query starts and context lengths of a step, as lists."""
    positions, query_starts, context_lens = [], [0], []
    for chunk in chunks:
        positions += range(chunk.start, chunk.end)
        query_starts.append(query_starts[-1] + chunk.num_tokens)
        context_lens.append(chunk.end)
    return positions, query_starts, context_lens


def logit_rows(chunks):
    """Index of the last token of each chunk that samples, over the whole batch."""
    rows, end = [], 0
    for chunk in chunks:
        end += chunk.num_tokens
        if chunk.samples:
            rows.append(end - 1)
    return rows
