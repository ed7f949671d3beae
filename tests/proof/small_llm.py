"""An `LLM` on the checksum runner: all of `generate` and `stream`, and no weights."""

from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.detokenizer import Decoder
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.llm import LLM
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens


class Letters(Decoder):
    """A tokenizer with one token per character."""

    eos_token_ids: frozenset[int] = frozenset()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [ord(letter) for letter in text]

    def pieces(self, token_ids: list[int]) -> list[str]:
        return [chr(token_id) for token_id in token_ids]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        return "".join(map(chr, token_ids))


def small_llm(depth: int = 0, runner: ChecksumRunner | None = None, **options: Any) -> LLM:
    """An LLM whose model is a checksum."""
    config = EngineConfig(**{"block_size": 4, "num_blocks": 16, **options})
    assert config.num_blocks is not None
    runner = runner or ChecksumRunner(config.num_blocks, config.block_size)
    llm = LLM.__new__(LLM)
    llm.tokenizer = Letters()  # type: ignore[assignment]
    llm.engine = LLMEngine(runner, config, llm.tokenizer)
    llm.default_sampling_params = SamplingParams()
    llm._interrupted, llm.depth = None, depth
    return llm


def right(prompt: list[int], params: SamplingParams) -> list[int]:
    """The tokens of a greedy request alone."""
    return expected_tokens(prompt, params, 0)
