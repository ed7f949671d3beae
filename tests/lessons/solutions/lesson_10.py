"""Solutions of lesson 10, the model runner."""

import torch


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


def feed_graph(inputs, slots, context_lens, scratch_slot):
    """Writes a decode step into a graph's inputs; rows that are left over become padding."""
    size = len(slots)
    inputs.slots.fill_(scratch_slot)
    inputs.slots[:size] = torch.tensor(slots)
    inputs.context_lens.fill_(1)
    inputs.context_lens[:size] = torch.tensor(context_lens)
