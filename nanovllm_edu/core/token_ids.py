"""`TokenIds`: a window on a sequence's token ids, which reads like a tuple and copies nothing.

A sequence keeps its tokens in an array of C integers. Cutting, comparing and hashing them goes at
the speed of memory, a device takes them as they are, and the garbage collector has nothing to walk.

Read next: `core/plan.py`, whose chunks hold them.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

PACKED = "Q"
"""The `array` type of packed token ids: unsigned, 8 bytes each."""


class TokenIds(Sequence[int]):
    """Items [start, end) of a growing array of token ids. Equal to the tuple of the same values."""

    __slots__ = ("_array", "_end", "_start")

    def __init__(self, growing: "array[int]", start: int, end: int) -> None:
        """Copies nothing: `growing` may be appended to, and not be changed otherwise."""
        self._array, self._start, self._end = growing, start, end

    @property
    def packed(self) -> "array[int]":
        """A copy, as an array."""
        return self._array[self._start : self._end]

    def __len__(self) -> int:
        return self._end - self._start

    def __getitem__(self, index: Any) -> Any:
        values: tuple[Any, ...] = tuple(self.packed)
        return values[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self.packed)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TokenIds):
            return self.packed == other.packed
        return isinstance(other, tuple) and tuple(self.packed) == other

    def __hash__(self) -> int:
        return hash(tuple(self.packed))

    def __repr__(self) -> str:
        return repr(tuple(self.packed))
