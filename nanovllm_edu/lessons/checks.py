"""The comparisons and engines that exercises are made of.

Each one raises `Wrong` with the numbers in the sentence. What a learner returns is taken for what
it *means*: a whole number may come from numpy or torch, a list may be a tuple, an array or a range.
`checksum_engine` is a real engine on the `ChecksumRunner`: no model, and still every misplaced
block becomes a wrong token.

Read next: a `lesson_*.py`.
"""

from collections.abc import Iterable, Mapping, Set
from itertools import islice
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.lessons.exercise import NothingReturned, Wrong
from nanovllm_edu.lessons.shown import shown
from nanovllm_edu.runners.checksum import ChecksumRunner

MAX_ITEMS = 100_000
"""Entries of a sequence that an answer may give; the right ones have a few dozen."""

MAX_BITS = 1024
"""Of a whole number: more than any hash has, and few enough to be written out."""


def require(condition: bool, message: str) -> None:
    """Raises `Wrong(message)` unless the condition holds."""
    if not condition:
        raise Wrong(message)


def require_written(value: Any) -> None:
    """Raises `NothingReturned` if there is no return value, or the starter's `...`."""
    if value is None or value is ...:
        raise NothingReturned


def require_equal(got: Any, want: Any, what: str) -> None:
    """Raises `Wrong` with both values unless they are equal."""
    require_written(got)
    require(got == want, f"{what} is {want!r}; you gave {shown(got)}.")


def plain(got: Any) -> Any:
    """A number out of an array or a tensor that holds just one; anything else as it is."""
    try:
        return got.item()
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return got


def whole_number(got: Any, what: str) -> int:
    """The integer that a learner gave, from Python, numpy or torch, or written as 40.0.

    Raises:
        Wrong: It is none.
    """
    require_written(got)
    given = plain(got)
    try:
        value = int(given)
        is_whole = value == given and not isinstance(given, (bool, str))
    except (TypeError, ValueError, ArithmeticError):
        value, is_whole = 0, False
    require(is_whole, f"{what} is a whole number; you gave {shown(got)} ({type(got).__name__}).")
    require(
        value.bit_length() <= MAX_BITS,
        f"{what} is a whole number of less than {MAX_BITS} bits; yours has {value.bit_length():,}.",
    )
    return value


def number(got: Any, what: str) -> float:
    """The number that a learner gave, from Python, numpy or torch.

    Raises:
        Wrong: It is none.
    """
    require_written(got)
    given = plain(got)
    try:
        value = float(given)
        is_number = not isinstance(given, (bool, str))
    except (TypeError, ValueError, ArithmeticError):
        value, is_number = 0.0, False
    require(is_number, f"{what} is a number; you gave {shown(got)} ({type(got).__name__}).")
    return value


def items(got: Any, what: str) -> list[Any]:
    """What is in a sequence that a learner gave: a list, a tuple, a range, an array, a tensor...

    Raises:
        Wrong: It is none, or has no order.
    """
    require_written(got)
    is_ordered = not isinstance(got, (str, bytes, Mapping, Set))
    try:
        require(is_ordered, f"{what} is a list; you gave {shown(got)} ({type(got).__name__}).")
        found = list(islice(got, MAX_ITEMS + 1))
    except TypeError:
        raise Wrong(f"{what} is a list; you gave {shown(got)} ({type(got).__name__}).") from None
    require(len(found) <= MAX_ITEMS, f"{what} has more than {MAX_ITEMS:,} entries in your answer.")
    return found


def members(got: Any, what: str) -> list[Any]:
    """What is in a collection whose order means nothing: a set is as good as a list.

    Raises:
        Wrong: It is no collection.
    """
    return items(list(got) if isinstance(got, Set) else got, what)


def whole_numbers(got: Any, what: str) -> list[int]:
    """The integers in a sequence that a learner gave: they are places, for which 40.0 will not do.

    Raises:
        Wrong: It is no sequence, or something in it is no integer.
    """
    given = {f"Entry {i} of {what}": value for i, value in enumerate(items(got, what))}
    for name, value in given.items():
        is_float = isinstance(plain(value), float)
        require(not is_float, f"{name} is a whole number; you gave {shown(value)} (float).")
    return [whole_number(value, name) for name, value in given.items()]


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
        for seq_id, new in record.new_tokens.items():
            tokens.setdefault(seq_id, []).extend(new)
    return tokens


def greedy(max_tokens: int) -> SamplingParams:
    """The likeliest token each time, `max_tokens` of them."""
    return SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
