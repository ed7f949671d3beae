"""`sample`: one row of logits becomes a token, in plain Python: the whole sampler on one page.

    logits -> edits -> temperature -> min_p -> top_k -> top_p -> + noise -> the largest

The stages, their order and their rules are those of `edits.py`, `stages.py` and `sampler.py`, which
do many rows at once on a device. Here nothing is needed but the standard library: this is what runs
where there is no torch, and the shortest way to see what the tensors do.

A row is an `array("f")`, so each stage rounds to float32 where the tensors round. Sums and
logarithms may differ in the last bit, which shows only where two tokens are that close.

Read next: `stages.py`, the same for tensors.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import nlargest
from math import exp, fsum, inf, isfinite, log
from typing import TypeAlias

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import TokenLogprobs
from nanovllm_edu.sampling.plain_noise import gumbel_noise, row_keys
from nanovllm_edu.sampling.rows import TINIEST_TEMPERATURE, SamplingRow

Row: TypeAlias = "array[float]"
Draw: TypeAlias = Callable[[Row, int, int], int]


def draw(logits: Row, first_key: int, second_key: int) -> int:
    """A token at random: the largest of logit plus noise."""
    noise = gumbel_noise(first_key, second_key, len(logits))
    return largest(float32(map(float.__add__, logits, noise)))


def sample(logits: Row, row: SamplingRow, token_ids: Sequence[int], draw: Draw = draw) -> int:
    """The next token of one sequence.

    Args:
        logits: The model's, float32; not changed.
        row: How, and the numbers that the noise comes from.
        token_ids: The sequence so far; the first `row.position` of them count.
        draw: How to draw from a row; another one must draw the same.
    """
    logits = edited(logits, row, token_ids)
    if row.params.is_greedy:
        return largest(logits)
    return draw(filtered(logits, row.params), *row_keys(row.seed, row.position))


def largest(logits: Row) -> int:
    """The token of the largest logit, the first of several."""
    values = logits.tolist()
    return values.index(max(values))


def float32(values: Iterable[float]) -> Row:
    """The numbers, rounded as a device rounds them."""
    return array("f", values)


# ----------------------------------------------------------------- edits of single logits


def edited(logits: Row, row: SamplingRow, token_ids: Sequence[int]) -> Row:
    """All edits in their order: a copy, if there are any."""
    params = row.params
    if not params.edits_logits:
        return logits
    edits = logits[:]
    if params.allowed_token_ids:
        edits = float32([-inf]) * len(logits)
        for token_id in params.allowed_token_ids:
            edits[token_id] = logits[token_id]
    for token_id in (*_forbidden(row, len(logits)), *_bad_words(row, token_ids), *_too_early(row)):
        edits[token_id] = -inf
    for token_id, bias in params.biases:
        edits[token_id] += float32([bias])[0]
    _penalize(edits, row, token_ids)
    return edits


def _forbidden(row: SamplingRow, vocab_size: int) -> Iterable[int]:
    """What a grammar does not allow here."""
    mask = row.mask
    if mask is None:
        return ()
    return (i for i in range(vocab_size) if not mask[i // 8] >> i % 8 & 1)


def _bad_words(row: SamplingRow, token_ids: Sequence[int]) -> list[int]:
    """The last token of each forbidden run whose others stand before, all of them in the output."""
    num_output = row.position - row.num_prompt_tokens
    return [
        words[-1]
        for words in row.params.bad_words_token_ids
        if num_output >= len(words) - 1
        and tuple(token_ids[row.position + 1 - len(words) : row.position]) == words[:-1]
    ]


def _too_early(row: SamplingRow) -> set[int]:
    """Tokens that would end the request before it has `min_tokens`."""
    params = row.params
    if row.position - row.num_prompt_tokens >= params.min_tokens:
        return set()
    eos = frozenset[int]() if params.ignore_eos else row.eos_token_ids
    return {*params.stop_token_ids, *eos}


def _penalize(logits: Row, row: SamplingRow, token_ids: Sequence[int]) -> None:
    """What was said already becomes less likely."""
    params, end = row.params, row.position
    if not params.has_penalty:
        return
    repetition, presence, frequency = float32(
        [params.repetition_penalty, params.presence_penalty, params.frequency_penalty]
    )
    for token_id in set(token_ids[:end]):
        value = logits[token_id]
        logits[token_id] = value / repetition if value > 0 else value * repetition
    for token_id, count in Counter(token_ids[row.num_prompt_tokens : end]).items():
        logits[token_id] -= float32([frequency * count])[0]
        logits[token_id] -= presence


# ------------------------------------------------------------------ temperature and filters


def filtered(logits: Row, params: SamplingParams) -> Row:
    """Temperature, then each filter in use; a filter never drops the likeliest."""
    most, (temperature,) = max(logits), float32([max(params.temperature, TINIEST_TEMPERATURE)])
    if most == -inf:
        return logits  # nothing is left to choose from
    logits = float32([value - most for value in logits])
    logits = float32([value / temperature for value in logits])
    if params.min_p > 0:
        logits = drop_below(logits, log(float32([params.min_p])[0]))  # the likeliest is at 0
    if 0 < params.top_k < len(logits):
        logits = drop_below(logits, nlargest(params.top_k, logits)[-1])
    if params.top_p < 1:
        logits = drop_below(logits, nucleus(logits, params.top_p))
    return logits


def nucleus(logits: Row, top_p: float) -> float:
    """The least logit among the fewest likeliest tokens whose probabilities reach `top_p`."""
    ranked = sorted((value for value in logits if value > -inf), reverse=True)
    goal, reached = top_p * fsum(map(exp, ranked)), 0.0
    for value in ranked:
        reached += exp(value)
        if reached >= goal:
            return value
    return ranked[-1]


def drop_below(logits: Row, cutoff: float) -> Row:
    """Replaces every logit under the cut-off by minus infinity."""
    (cutoff,) = float32([cutoff])
    return float32([value if value >= cutoff else -inf for value in logits])


# ----------------------------------------------------------------- what else is asked of a row


def is_broken(logits: Row) -> bool:
    """Whether it holds a NaN or an infinity."""
    return not isfinite(sum(logits))


def logprobs(logits: Row, token_id: int, num_top: int) -> TokenLogprobs:
    """Log probabilities of the chosen and of the likeliest tokens, before any stage."""
    most = max(logits)
    total = most + log(fsum(exp(value - most) for value in logits))
    found = float32([value - total for value in logits])
    top = nlargest(num_top, range(len(found)), found.__getitem__)
    return TokenLogprobs(token_id, found[token_id], tuple((i, found[i]) for i in top))
