"""`Sampler`: one token per row of logits.

    logits -> edits -> temperature -> min_p -> top_k -> top_p -> + Gumbel noise -> argmax

Greedy is the same road without noise, so greedy and random rows share a batch; if all rows are
greedy the road is one argmax. Log probabilities, for rows that ask, are those of the logits as the
model gave them, before any stage: vLLM's default.

It has no state. Nothing in it waits for the device.

Read next: `random.py`, `stages.py`, `tensors.py`; then `runners/eager.py`, which feeds the tokens
back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nanovllm_edu.core.plan import TokenLogprobs
from nanovllm_edu.sampling import stages
from nanovllm_edu.sampling.edits import Apply
from nanovllm_edu.sampling.random import gumbel_noise
from nanovllm_edu.sampling.tensors import SamplingTensors

BROKEN = -1
"""Stands for the token of a row whose logits are no numbers, where kernels sampled."""


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log probabilities of the rows that asked for them: A rows, the likeliest N tokens of each.

    Attributes:
        rows: Which rows of the batch; on the host.
        num_top: How many top tokens each of them asked for; on the host.
        chosen: Log probability of the sampled token, float32 [asking].
        top_ids: The N likeliest tokens, likeliest first, int64 [asking, top].
        top_logprobs: Theirs, float32 [asking, top].
    """

    rows: tuple[int, ...]
    num_top: tuple[int, ...]
    chosen: Float[Tensor, " asking"]
    top_ids: Int[Tensor, "asking top"]
    top_logprobs: Float[Tensor, "asking top"]


@dataclass(frozen=True, slots=True)
class SamplerOutput:
    """What came out of the sampler.

    Attributes:
        token_ids: One token per row, int64 [rows].
        logprobs: Log probabilities, if some row asked.
        is_broken: Rows whose logits held a NaN or an infinity: their tokens mean nothing. None
            where kernels sampled, which say so by the token `BROKEN`.
    """

    token_ids: Int[Tensor, " rows"]
    logprobs: Logprobs | None = None
    is_broken: Bool[Tensor, " rows"] | None = None

    def to_host(self) -> "SamplerOutput":
        """Starts the copy to the host; the values are valid once the device's stream got there."""
        found = self.logprobs
        if found is not None:
            tensors = (found.chosen, found.top_ids, found.top_logprobs)
            found = Logprobs(found.rows, found.num_top, *map(_to_host, tensors))
        is_broken = None if self.is_broken is None else _to_host(self.is_broken)
        return SamplerOutput(_to_host(self.token_ids), found, is_broken)

    def logprobs_of(self, seq_ids: Sequence[int]) -> Mapping[int, tuple[TokenLogprobs, ...]]:
        """The log probabilities by sequence; `seq_ids` says whose each row of the batch is."""
        assert self.logprobs is not None, "no row asked for any"
        found, token_ids = self.logprobs, self.token_ids.tolist()
        lists = (found.chosen.tolist(), found.top_ids.tolist(), found.top_logprobs.tolist())
        result: dict[int, tuple[TokenLogprobs, ...]] = {}
        for row, num_top, chosen, ids, values in zip(
            found.rows, found.num_top, *lists, strict=True
        ):
            top = tuple(zip(ids[:num_top], values[:num_top], strict=True))
            one = TokenLogprobs(token_ids[row], chosen, top)
            result[seq_ids[row]] = (*result.get(seq_ids[row], ()), one)
        return result


class Sampler:
    """Turns logits into tokens. `Sampler()(logits, tensors)`.

    Args:
        faster: How to apply stages, by name, where there is a faster way than theirs.
    """

    def __init__(self, faster: Mapping[str, Apply] | None = None) -> None:
        self._faster = faster or {}

    def __call__(
        self, logits: Float[Tensor, "rows vocab"], params: SamplingTensors
    ) -> SamplerOutput:
        """Samples one token per row.

        Args:
            logits: The model's, in any float dtype; not changed.
            params: The rows' options, in the same order.
        """
        assert len(logits) == params.num_rows, "one row of options per row of logits"
        token_ids = self.choose(logits, params)
        is_broken = ~logits.sum(dim=1, dtype=torch.float32).isfinite()
        logprobs = _logprobs(logits, token_ids, params.num_logprobs)
        return SamplerOutput(token_ids, logprobs, is_broken)

    def choose(
        self, logits: Float[Tensor, "rows vocab"], params: SamplingTensors
    ) -> Int[Tensor, " rows"]:
        """The tokens alone."""
        for stage, needed in params.edits:
            apply = self._faster.get(stage.name, stage.apply)
            logits = apply(logits.float(), needed)
        if params.is_random is None:
            return logits.argmax(dim=1)
        assert params.seeds is not None
        assert params.positions is not None
        noise = gumbel_noise(params.seeds, params.positions, logits.shape[1])
        noise.mul_(params.is_random[:, None])  # greedy rows: the largest logit itself wins
        return noise.add_(apply_filters(logits.float(), params)).argmax(dim=1)


def apply_filters(
    logits: Float[Tensor, "rows vocab"], params: SamplingTensors
) -> Float[Tensor, "rows vocab"]:
    """Temperature and the filters that are in use."""
    if params.temperature is not None:
        logits = stages.apply_temperature(logits, params.temperature)
    if params.min_p is not None:
        logits = stages.apply_min_p(logits, params.min_p)
    if params.top_k is not None:
        logits = stages.apply_top_k(logits, params.top_k, params.max_top_k)
    if params.top_p is not None:
        num_candidates = params.max_top_k if params.is_top_k_everywhere else None
        logits = stages.apply_top_p(logits, params.top_p, num_candidates)
    return logits


def _logprobs(
    logits: Tensor, token_ids: Tensor, num_logprobs: tuple[int | None, ...]
) -> Logprobs | None:
    """Log softmax of the rows that asked, and their likeliest tokens."""
    asking = {row: num_top for row, num_top in enumerate(num_logprobs) if num_top is not None}
    if not asking:
        return None
    rows = tuple(asking)
    if len(rows) < len(logits):
        index = torch.tensor(rows, device=logits.device)
        logits, token_ids = logits[index], token_ids[index]
    logprobs = logits.float().log_softmax(dim=1)
    chosen = logprobs.gather(1, token_ids[:, None]).squeeze(1)
    top = logprobs.topk(min(max(asking.values()), logits.shape[1]), dim=1)
    return Logprobs(rows, tuple(asking.values()), chosen, top.indices, top.values)


def _to_host(tensor: Tensor) -> Tensor:
    """Into pinned memory, without waiting."""
    return tensor.to("cpu", non_blocking=True)
