"""`ModelProposer`: a small model guesses what a large one will say.

It is an engine of its own. Each question is a request there: the tokens so far are the prompt, the
guesses its output. What it computed the last time is found in *its* prefix cache, by content, so
only the tokens since the last full block are computed again. That makes it a function of tokens:
preemption, aborts and forks are nothing to it, and all sequences of a step share its batch.

A sampled request is guessed at with its own seed: both models then draw with the same noise of
(seed, position, token id), and agree far more often than two draws would.

It does not know who asks. Read next: `core/schedule/draft_proposer.py`; `llm.py`, which it is
built of.
"""

from collections.abc import Sequence as Seq
from itertools import compress
from pathlib import Path
from typing import Any

from nanovllm_edu.core.request.option_checks import integer
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.draft_proposer import DraftRequest
from nanovllm_edu.llm import LLM
from nanovllm_edu.runners.build import choose_device

BLOCK_SIZES = {"cpu": 4, "cuda": 16}
"""Of small blocks little is computed anew. A GPU computes a few tokens more in no time; there the
news of each block, which the host must send, cost more."""


class ModelProposer:
    """Guesses by running a small model. Make it before the large one: that measures what is left.

    Args:
        model: A Hugging Face model folder or a hub id; its vocabulary is the large one's. The one
            in the box, by default, guesses what the model in the box says.
        num_tokens: Guesses for each step.
        **options: Fields of `EngineConfig`, for the small model.

    Raises:
        ConfigError: An option is unknown or out of range.
        ModelLoadError: The model cannot be read.
    """

    def __init__(
        self, model: str | Path = "tiny-draft", num_tokens: int = 4, **options: Any
    ) -> None:
        self.num_tokens: int = integer(1, "give at least 1")("num_tokens", num_tokens)
        self.model = model
        device, _ = choose_device(options.get("device", "auto"))
        # A GPU's memory is for the large model.
        defaults = {"gpu_memory_utilization": 0.1, "block_size": BLOCK_SIZES[device.type]}
        self.llm = LLM(model, **(defaults | options))

    @property
    def vocab_size(self) -> int:
        """Its tokens are in [0, vocab_size)."""
        return self.llm.engine.runner.vocab_size

    def propose(self, token_ids: Seq[int], num_tokens: int) -> Seq[int]:
        """The likeliest next tokens of one sequence."""
        greedy = SamplingParams(temperature=0)
        return self.propose_many([DraftRequest(token_ids, num_tokens, greedy, 0)])[0]

    def propose_many(self, requests: Seq[DraftRequest]) -> list[list[int]]:
        """The next tokens of each; [] for a sequence that is too long for the small model."""
        engine = self.llm.engine
        fits = [len(request.token_ids) < engine.max_model_len for request in requests]
        seqs = engine.add_requests(
            (request.token_ids, self._sampling(request)) for request in compress(requests, fits)
        )
        try:
            while any(seq.finish_reason is None for seq in seqs):
                engine.advance(depth=self.num_tokens)  # no step depends on what another one says
        finally:  # an interrupt, or a device that failed: nobody waits for them
            engine.drop(seq for seq in seqs if seq.finish_reason is None)
        guesses = iter(seqs)
        return [next(guesses).output_token_ids if is_short else [] for is_short in fits]

    def _sampling(self, request: DraftRequest) -> SamplingParams:
        """As the request is sampled, as far as that does not depend on where its prompt ends."""
        params = request.sampling
        return SamplingParams(
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
            min_p=params.min_p,
            repetition_penalty=params.repetition_penalty,
            logit_bias=params.logit_bias,
            allowed_token_ids=params.allowed_token_ids,
            seed=request.seed,
            max_tokens=min(request.num_tokens, self.num_tokens),
            ignore_eos=True,
        )

    def close(self) -> None:
        """Gives the memory of its cache back. Calling it again does nothing."""
        self.llm.close()

    def __repr__(self) -> str:
        return f"ModelProposer({str(self.model)!r}, num_tokens={self.num_tokens})"
