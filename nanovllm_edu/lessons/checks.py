"""The comparisons and engines that exercises are made of.

Each one raises `Wrong` with the numbers in the sentence. `checksum_engine` is a real engine on the
`ChecksumRunner`: no model, and still every misplaced block becomes a wrong token.

Read next: a `lesson_*.py`.
"""

from collections.abc import Iterable
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.runners.checksum import ChecksumRunner

NOTHING_YET = "Nothing is written yet: replace the `...` by your code and run the cell again."


def require(condition: bool, message: str) -> None:
    """Raises `Wrong(message)` unless the condition holds."""
    if not condition:
        raise Wrong(message)


def require_written(value: Any) -> None:
    """Raises `Wrong` if the starter was handed in as it is (`...` or no return value)."""
    require(value is not None and value is not ..., NOTHING_YET)


def require_equal(got: Any, want: Any, what: str) -> None:
    """Raises `Wrong` with both values unless they are equal."""
    require_written(got)
    require(got == want, f"{what} is {want!r}; you gave {got!r}.")


def require_int(got: Any, what: str) -> None:
    """Raises `Wrong` unless `got` is an integer."""
    require_written(got)
    is_int = isinstance(got, int) and not isinstance(got, bool)
    require(is_int, f"{what} is a whole number; you gave {got!r} ({type(got).__name__}).")


def checksum_engine(
    num_blocks: int = 16,
    block_size: int = 4,
    *,
    runner: ChecksumRunner | None = None,
    **options: Any,
) -> LLMEngine:
    """A real engine without a model: tokens are checksums of everything that came before."""
    runner = runner or ChecksumRunner(num_blocks, block_size)
    return LLMEngine(runner, EngineConfig(block_size=block_size, **options))


def finish(engine: LLMEngine, max_steps: int = 500) -> list[StepRecord]:
    """Steps an engine until all its requests are done.

    Raises:
        Wrong: They are not done after `max_steps`.
    """
    records: list[StepRecord] = []
    while engine.has_unfinished_requests():
        require(
            len(records) < max_steps,
            f"After {max_steps} steps the engine still has unfinished requests: "
            f"{sorted(engine.unfinished_seq_ids())}.",
        )
        records.append(engine.step())
    return records


def generated(records: Iterable[StepRecord]) -> dict[int, list[int]]:
    """seq_id -> the tokens it got, in order."""
    tokens: dict[int, list[int]] = {}
    for record in records:
        for seq_id, token_id in record.new_tokens.items():
            tokens.setdefault(seq_id, []).append(token_id)
    return tokens


def greedy(max_tokens: int) -> SamplingParams:
    """The likeliest token each time, `max_tokens` of them."""
    return SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
