"""What a plan from elsewhere may name: rows, blocks, positions and tokens that the device has.

An engine of this package plans nothing else. But a kernel trusts the block ids that it is given, so
a plan that came over a wire is looked at before a kernel sees it. What comes back is looked at,
too: a commit must not fail half-way.

Read next: `runners/remote.py`.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

from nanovllm_edu.core.plan import DEVICE_TIER, Spans, StepOutput, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import WireError
from nanovllm_edu.wire.messages import Hello


def check_plan(plan: StepPlan, device: Hello) -> None:
    """Refuses a plan that names what the device does not have.

    Raises:
        WireError: It does; says what, and how many there are.
    """
    news = (*plan.joined, *plan.sampling_updates, *plan.block_updates, *plan.masks)
    rows = (*plan.left, *(one.row for one in news))
    _check_below(rows, device.max_num_seqs, "rows")
    _check_spans(plan.spans, device)
    for joined in plan.joined:
        _check_below(joined.token_ids, device.vocab_size, "tokens")
        _check_below([len(joined.token_ids)], device.max_model_len + 1, "positions")
        _check_below([joined.num_prompt_tokens], len(joined.token_ids) + 1, "tokens of a sequence")
        _check_sampling(joined.sampling, device)
    for update in plan.sampling_updates:
        _check_sampling(update.sampling, device)
    _check_blocks(plan, device)
    _check_masks(plan, device)


def check_output(output: StepOutput, spans: Spans, device: Hello) -> None:
    """Refuses an output that cannot be one of the plan with these spans.

    Raises:
        WireError: A sampled sequence has no token, too many, or one that the model does not have.
    """
    for seq_id, num_drafted, is_sampled in zip(
        spans.seq_ids, spans.nums_drafted, spans.are_sampled, strict=True
    ):
        if not is_sampled or seq_id in output.errors:
            continue
        tokens = output.tokens.get(seq_id, ())
        if not 1 <= len(tokens) <= num_drafted + 1:
            raise WireError(
                f"sequence {seq_id} got {len(tokens)} tokens in a step that had {num_drafted} "
                "guesses."
            )
        if len(output.logprobs.get(seq_id, tokens)) != len(tokens):
            raise WireError(f"sequence {seq_id} got another number of logprobs than of tokens.")
        if not 0 <= min(tokens) <= max(tokens) < device.vocab_size:
            raise WireError(
                f"sequence {seq_id} got {tokens}, and the model has {device.vocab_size} tokens."
            )


def _check_spans(spans: Spans, device: Hello) -> None:
    _check_below(spans.rows, device.max_num_seqs, "rows")
    if len(set(spans.rows)) != len(spans):
        raise WireError("a plan moves one row twice; a row has one span in a step.")
    ends = [start + n for start, n in zip(spans.starts, spans.nums_of_tokens, strict=True)]
    _check_below(ends, device.max_model_len + 1, "positions")
    _check_below([sum(spans.nums_of_tokens)], device.max_num_batched_tokens + 1, "tokens of a step")
    _check_below(chain.from_iterable(spans.givens), device.vocab_size, "tokens")
    for num_tokens, given, num_drafted in zip(
        spans.nums_of_tokens, spans.givens, spans.nums_drafted, strict=True
    ):
        if not num_tokens > num_drafted or len(given) not in (0, num_tokens):
            raise WireError(
                f"a span of {num_tokens} tokens has {num_drafted} guesses and {len(given)} values."
            )


def _check_sampling(params: SamplingParams, device: Hello) -> None:
    named = (
        params.stop_token_ids,
        params.allowed_token_ids or (),
        (token_id for token_id, _ in params.biases),
        *params.bad_words_token_ids,
    )
    _check_below(chain.from_iterable(named), device.vocab_size, "tokens")


def _check_blocks(plan: StepPlan, device: Hello) -> None:
    most = -(-device.max_model_len // device.block_size)
    for update in plan.block_updates:
        _check_below([update.group], 1, "groups of layers")
        _check_below(
            [update.first, update.first + len(update.block_ids)], most + 1, "table entries"
        )
        _check_below(update.block_ids, device.num_blocks, "blocks")
    for block in chain.from_iterable(plan.copies):
        _check_below([block.tier], DEVICE_TIER + 1, "tiers of memory")
        _check_below([block.block_id], device.num_blocks, "blocks")


def _check_masks(plan: StepPlan, device: Hello) -> None:
    claimed = {span.row: span.num_claimed for span in plan.spans} if plan.masks else {}
    for held in plan.masks:
        if len(held.masks) != claimed.get(held.row):
            raise WireError(
                f"a plan has {len(held.masks)} masks for row {held.row}, which samples "
                f"{claimed.get(held.row, 0)} times."
            )
    lengths = {len(mask) for held in plan.masks for mask in held.masks}
    if len(lengths) > 1 or any(8 * length < device.vocab_size for length in lengths):
        raise WireError(
            f"a plan has masks of {sorted(lengths)} bytes; all must have one length, and a bit "
            f"for each of {device.vocab_size} tokens."
        )


def _check_below(values: Iterable[int], end: int, what: str) -> None:
    listed: Sequence[int] = values if isinstance(values, tuple) else tuple(values)
    if listed and not (min(listed) >= 0 and max(listed) < end):
        wrong = next(value for value in listed if not 0 <= value < end)
        raise WireError(f"a plan names {wrong}, and the device has {end} {what}, from 0 on.")
