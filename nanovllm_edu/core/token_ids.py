"""`TokenIds`: a run of token ids that reads like a tuple and is stored as C would.

A thousand tokens are 8 kB in an array. Cutting, comparing and hashing them goes at the speed of
memory, a device takes them as they are, and the garbage collector need not look at any of them.

Read next: `core/records.py`, whose chunks hold them.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

PACKED = "Q"
"""The `array` type of packed token ids: unsigned, 8 bytes each."""


class TokenIds(Sequence[int]):
    """Token ids that nobody changes any more. Equal to the tuple of the same values."""

    __slots__ = ("packed",)

    def __init__(self, packed: "array[int]") -> None:
        """Wraps `packed`; its owner gives it away."""
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed)

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
