"""Small engines on the `ChecksumRunner`, and the tokens they must give."""

from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.detokenizer import Decoder
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens

GREEDY = SamplingParams(temperature=0.0, max_tokens=6)
LONG = SamplingParams(temperature=0.0, max_tokens=40)
PROMPTS = [[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 9], [8, 8, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9]]


class Letters(Decoder):
    """A tokenizer with one token per character."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        return "".join(map(chr, token_ids))


def engine(runner: ChecksumRunner | None = None, **options: Any) -> LLMEngine:
    """An engine of 4-token blocks, 32 of them unless told otherwise."""
    config = EngineConfig(**{"block_size": 4, "num_blocks": 32, **options})
    assert config.num_blocks is not None
    return LLMEngine(runner or ChecksumRunner(config.num_blocks, config.block_size), config)


def add_all(
    llm: LLMEngine, prompts: list[list[int]] = PROMPTS, params: SamplingParams = GREEDY
) -> list[int]:
    """Adds these prompts; returns their seq_ids."""
    return [llm.add_request(prompt, params) for prompt in prompts]


def right_tokens(
    prompts: list[list[int]] = PROMPTS, params: SamplingParams = GREEDY
) -> list[list[int]]:
    """What greedy requests must give."""
    return [expected_tokens(prompt, params, 0) for prompt in prompts]


def collect(records: list[StepRecord], seq_ids: list[int]) -> list[list[int]]:
    """The tokens of each sequence, out of the records."""
    return [[token for r in records for token in r.new_tokens.get(i, ())] for i in seq_ids]


def finish(llm: LLMEngine, depth: int = 0) -> list[StepRecord]:
    """Runs to the end, checking the books after every step."""
    records: list[StepRecord] = []
    for record in llm.run(depth):
        llm.scheduler.check_invariants()
        records.append(record)
    manager = llm.scheduler.block_manager
    assert manager.num_free_blocks == manager.num_blocks
    return records
