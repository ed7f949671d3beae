"""The stages between a model's logits and the draw, each a pure function `logits -> logits`.

    penalties      what was said already becomes less likely
    temperature    the distribution becomes flatter or sharper
    min_p          drop what is much less likely than the likeliest
    top_k          drop all but the k likeliest
    top_p          drop the tail beyond the nucleus

This is vLLM's order. "Drop" means a logit of -inf. A filter finds a *cut-off value* for each row
and drops what lies below it, so tokens of equal logits share their fate, and the result depends
neither on how a sort breaks ties nor on the rest of the batch. None of them drops the likeliest.

Each takes one parameter per row. Nothing here knows of requests or of random numbers.

Read next: `rows.py`, `edits.py`: what goes before them.

Sources: repetition penalty from Keskar et al., CTRL (2019); top-k from Fan et al. (2018); nucleus
sampling from Holtzman et al. (2019); min-p from Nguyen et al. (2024).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

DROPPED = float("-inf")
"""The logit of a token that cannot be drawn."""


def token_counts(
    token_ids: Int[Tensor, "rows length"], is_counted: Bool[Tensor, "rows length"], vocab_size: int
) -> Int[Tensor, "rows vocab"]:
    """How often each token id occurs in each row, where `is_counted`."""
    counts = torch.zeros(len(token_ids), vocab_size, dtype=torch.int32, device=token_ids.device)
    return counts.scatter_add_(1, token_ids.long(), is_counted.int())


def apply_repetition_penalty(
    logits: Float[Tensor, "rows vocab"],
    penalty: Float[Tensor, " rows"],
    is_seen: Bool[Tensor, "rows vocab"],
) -> Float[Tensor, "rows vocab"]:
    """Divides the positive logits of tokens seen in prompt or output, multiplies the negative."""
    factor = penalty[:, None]
    penalized = torch.where(logits > 0, logits / factor, logits * factor)
    return torch.where(is_seen, penalized, logits)


def apply_presence_penalty(
    logits: Float[Tensor, "rows vocab"],
    penalty: Float[Tensor, " rows"],
    output_counts: Int[Tensor, "rows vocab"],
) -> Float[Tensor, "rows vocab"]:
    """Subtracts `penalty` once from each token that the output contains."""
    return logits - penalty[:, None] * (output_counts > 0)


def apply_frequency_penalty(
    logits: Float[Tensor, "rows vocab"],
    penalty: Float[Tensor, " rows"],
    output_counts: Int[Tensor, "rows vocab"],
) -> Float[Tensor, "rows vocab"]:
    """Subtracts `penalty` from each token once per occurrence in the output."""
    return logits - penalty[:, None] * output_counts


def apply_temperature(
    logits: Float[Tensor, "rows vocab"], temperature: Float[Tensor, " rows"]
) -> Float[Tensor, "rows vocab"]:
    """Divides by the temperature (> 0), after shifting each row's largest logit to 0.

    A softmax does not notice the shift, and without it a tiny temperature would overflow to inf.
    """
    return (logits - logits.amax(dim=1, keepdim=True)) / temperature[:, None]


def apply_min_p(
    logits: Float[Tensor, "rows vocab"], min_p: Float[Tensor, " rows"]
) -> Float[Tensor, "rows vocab"]:
    """Keeps tokens of at least `min_p` times the likeliest one's probability.

    A ratio of probabilities is a difference of logits, so no softmax is needed. 0 keeps all.
    """
    cutoff = logits.amax(dim=1, keepdim=True) + min_p.log()[:, None]
    return drop_below(logits, cutoff)


def apply_top_k(
    logits: Float[Tensor, "rows vocab"],
    top_k: Int[Tensor, " rows"],
    max_top_k: int | None = None,
) -> Float[Tensor, "rows vocab"]:
    """Keeps each row's `top_k` likeliest tokens, and those equal to the last of them.

    Args:
        logits: Before the stage.
        top_k: How many to keep; 0 keeps all.
        max_top_k: The largest of `top_k`, if the caller knows it (else the device is asked).
    """
    max_top_k = int(top_k.max()) if max_top_k is None else max_top_k
    num_candidates = min(max_top_k, logits.shape[1])
    if num_candidates == 0:
        return logits
    likeliest = logits.topk(num_candidates, dim=1).values
    last_kept = (top_k.long() - 1).clamp(0, num_candidates - 1)
    cutoff = likeliest.gather(1, last_kept[:, None])
    return drop_below(logits, cutoff.masked_fill((top_k == 0)[:, None], DROPPED))


def apply_top_p(
    logits: Float[Tensor, "rows vocab"],
    top_p: Float[Tensor, " rows"],
    num_candidates: int | None = None,
) -> Float[Tensor, "rows vocab"]:
    """Keeps the smallest set of likeliest tokens whose probabilities reach `top_p`.

    Args:
        logits: Before the stage.
        top_p: Probability to reach, in (0, 1]; 1 keeps all.
        num_candidates: If no row has more distinct tokens left than this (a top-k went before),
            finding the likeliest few replaces sorting the vocabulary.
    """
    if num_candidates is None or num_candidates >= logits.shape[1]:
        ranked = logits.sort(dim=1, descending=True).values
    else:
        ranked = logits.topk(num_candidates, dim=1).values
    reached = (ranked - logits.logsumexp(dim=1, keepdim=True)).exp_().cumsum(dim=1)
    num_before = (reached < top_p[:, None]).sum(dim=1, keepdim=True)
    cutoff = ranked.gather(1, num_before.clamp(max=ranked.shape[1] - 1))
    return drop_below(logits, cutoff.masked_fill((top_p == 1)[:, None], DROPPED))


def drop_below(
    logits: Float[Tensor, "rows vocab"], cutoff: Float[Tensor, "rows 1"]
) -> Float[Tensor, "rows vocab"]:
    """Replaces every logit under its row's cut-off by -inf."""
    return logits.masked_fill(logits < cutoff, DROPPED)
