"""Solutions of lesson 10, the model runner."""

import torch


def layout(spans):
    """Positions, query starts and context lengths of a step, as lists."""
    positions, query_starts, context_lens = [], [0], []
    for span in spans:
        positions += range(span.start, span.end)
        query_starts.append(query_starts[-1] + span.num_tokens)
        context_lens.append(span.end)
    return positions, query_starts, context_lens


def logit_rows(spans):
    """Index of the last token of each span that is sampled from, over the whole batch."""
    rows, end = [], 0
    for span in spans:
        end += span.num_tokens
        if span.is_sampled:
            rows.append(end - 1)
    return rows


def feed_graph(inputs, slots, context_lens, scratch_slot):
    """Writes a decode step into a graph's inputs; rows that are left over become padding."""
    size = len(slots)
    inputs.slots.fill_(scratch_slot)
    inputs.slots[:size] = torch.tensor(slots)
    inputs.context_lens.fill_(1)
    inputs.context_lens[:size] = torch.tensor(context_lens)
