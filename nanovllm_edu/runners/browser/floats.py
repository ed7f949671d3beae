"""Arrays of float32, and where they lie: what takes a tensor's place where there is no torch.

Read next: `shape.py`.
"""

from array import array
from typing import Any, TypeAlias

Floats: TypeAlias = "array[float]"


def zeros(count: int) -> Floats:
    """So many zeros."""
    return array("f", bytes(4 * count))


def address(numbers: "array[Any]", index: int = 0) -> int:
    """Where a number lies in memory, for C. The array must outlive the call, and not grow."""
    assert 0 <= index <= len(numbers)
    return numbers.buffer_info()[0] + numbers.itemsize * index


def gather(rows: Floats, width: int, chosen: list[int]) -> Floats:
    """Some rows of a table of `width` columns, one behind the other."""
    picked = memoryview(rows)
    return array("f", b"".join(picked[row * width : (row + 1) * width] for row in chosen))
