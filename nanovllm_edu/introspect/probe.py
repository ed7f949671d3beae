"""`Probe(llm)`: where a token looks, and how the next one is chosen.

    probe = Probe(llm)
    probe.attention(seq_id, layer=2, head=0)   # which blocks does its newest token attend to?
    probe.next_token(seq_id)                   # the distribution before and after each stage

A probe puts the newest known token of a sequence through the model once more, by itself. It reads
the paged cache through the sequence's block table and writes nothing, so the run that it looks at
goes on as if it had not been there.

Read next: `attention/reference.py`, the attention that is repeated here with its weights kept.
"""

from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RequestError
from nanovllm_edu.introspect.probed import AttentionView, Candidate, SamplingStage, SamplingView
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.sampling import sampler, stages
from nanovllm_edu.sampling.rows import SamplingRow
from nanovllm_edu.sampling.tensors import SamplingTensors


class Probe:
    """Looks into a model at work.

    Args:
        llm: An `LLM`, or an `LLMEngine` whose runner has a model and a KV cache.

    Raises:
        RequestError: The runner has neither (`ChecksumRunner`).
    """

    def __init__(self, llm: Any) -> None:
        self.engine: LLMEngine = llm if isinstance(llm, LLMEngine) else llm.engine
        if not hasattr(self.engine.runner, "model"):
            raise RequestError(f"{self.engine.runner!r} has no model to look into; use an LLM.")

    def attention(self, seq_id: int, layer: int = 0, head: int = 0) -> AttentionView:
        """How the newest token of a sequence divides its attention over the tokens before it.

        Args:
            seq_id: A running sequence whose prompt is computed.
            layer: Counted from 0.
            head: A query head, counted from 0.

        Raises:
            RequestError: No such layer or head, or the sequence is not far enough.
        """
        config = self._runner.model.config
        for name, value, limit in (
            ("layer", layer, config.num_layers),
            ("head", head, config.num_heads),
        ):
            if not 0 <= value < limit:
                raise RequestError(
                    f"{name}={value!r} is not in [0, {limit}); the model has {limit}."
                )
        seq = self._sequence(seq_id)
        weights, _ = self._look(seq)
        return AttentionView(
            seq_id,
            layer,
            head,
            tuple(weights[layer][head].tolist()),
            tuple(seq.block_table),
            self.engine.runner.block_size,
            tuple(self._text(token_id) for token_id in seq.token_ids),
        )

    def next_token(self, seq_id: int, num_candidates: int = 8) -> SamplingView:
        """The distribution of a sequence's next token after the model and after each stage.

        Raises:
            RequestError: The sequence is not far enough.
        """
        seq = self._sequence(seq_id)
        _, logits = self._look(seq)
        position = len(seq.token_ids)
        eos = self._runner.eos_token_ids
        mask = seq.grammar.masks()[0] if seq.grammar is not None else None
        row = SamplingRow(seq.params, seq.seed, position, seq.num_prompt_tokens, 0, eos, mask)
        history = torch.tensor([seq.token_ids.tolist()], device=logits.device)
        params = SamplingTensors.build([row], logits.device, history)
        chosen = int(sampler.Sampler().choose(logits, params)[0])
        steps = [("model", logits.float()), *_stages(logits.float(), params)]
        return SamplingView(
            seq_id,
            position,
            chosen,
            self._text(chosen),
            tuple(self._stage(name, values[0], num_candidates, chosen) for name, values in steps),
        )

    # ------------------------------------------------------------------------ inside

    @property
    def _runner(self) -> Any:
        return self.engine.runner

    def _sequence(self, seq_id: int) -> Sequence:
        seq = self.engine.scheduler.sequence(seq_id)
        if seq.num_computed_tokens < len(seq.token_ids) - 1 or seq.num_claimed:
            raise RequestError(
                f"seq {seq_id} has {seq.num_computed_tokens} of {len(seq.token_ids)} tokens in the "
                "cache; step until its prompt is computed."
            )
        return seq

    @torch.inference_mode()
    def _look(self, seq: Sequence) -> tuple[list[Tensor], Tensor]:
        """Attention weights [heads, context] of each layer, and logits [1, vocab]."""
        model, cache = self._runner.model, self._runner.kv_cache
        device = model.embed_tokens.weight.device
        position = len(seq.token_ids) - 1
        attend = _Looking(cache, seq.block_table, position)
        hidden = model(
            torch.tensor([seq.token_ids[-1]], device=device),
            torch.tensor([position], device=device),
            attend,
        )
        return attend.weights, model.logits(hidden)

    def _stage(self, name: str, logits: Tensor, num: int, chosen: int) -> SamplingStage:
        chances = logits.softmax(0)
        likeliest = chances.topk(min(num, len(chances))).indices.tolist()
        shown = likeliest if chosen in likeliest else [*likeliest, chosen]
        return SamplingStage(
            name,
            int((logits > stages.DROPPED).sum()),
            tuple(Candidate(i, self._text(i), float(chances[i])) for i in shown),
        )

    def _text(self, token_id: int) -> str:
        tokenizer = self.engine.tokenizer
        return tokenizer.decode([token_id]) if tokenizer else str(token_id)

    def __repr__(self) -> str:
        return f"Probe({self.engine!r})"


class _Looking:
    """Attention of one token that keeps its weights and leaves the cache alone.

    The keys and values of the token itself come from the model, those before it from the cache.
    """

    def __init__(self, cache: KVCache, block_table: list[int], position: int) -> None:
        size = cache.block_size
        self._slots = [block_table[i // size] * size + i % size for i in range(position)]
        self._cache = cache
        self.weights: list[Tensor] = []

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        past_keys, past_values = self._cache.slots(layer)[:, self._slots]
        keys, values = torch.cat([past_keys, k]).float(), torch.cat([past_values, v]).float()
        num_heads, head_dim = q.shape[1:]
        group = num_heads // keys.shape[1]  # query heads that share a KV head
        keys, values = (x.repeat_interleave(group, dim=1) for x in (keys, values))
        scores = torch.einsum("hd,chd->hc", q[0].float(), keys) / head_dim**0.5
        weights = scores.softmax(1)
        self.weights.append(weights)
        return torch.einsum("hc,chd->hd", weights, values)[None].to(q.dtype)


def _stages(logits: Tensor, params: SamplingTensors) -> list[tuple[str, Tensor]]:
    """The logits after each stage in use, by the sampler's own functions and in its order."""
    steps: list[tuple[str, Tensor]] = []
    for stage, needed in params.edits:
        steps.append((stage.name, logits := stage.apply(logits, needed)))
    if params.temperature is not None:
        logits = stages.apply_temperature(logits, params.temperature)
        steps.append(("temperature", logits))
    if params.min_p is not None:
        steps.append(("min_p", logits := stages.apply_min_p(logits, params.min_p)))
    if params.top_k is not None:
        steps.append(
            ("top_k", logits := stages.apply_top_k(logits, params.top_k, params.max_top_k))
        )
    if params.top_p is not None:
        steps.append(("top_p", logits := stages.apply_top_p(logits, params.top_p)))
    return steps
