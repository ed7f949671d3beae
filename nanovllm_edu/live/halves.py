"""Weights that travel: the bytes of a file in two halves, which are smaller packed than the whole.

A number in bfloat16 is two bytes: one with its sign and exponent, of which few kinds occur, and one
with digits that look random. Side by side they hide that from a compressor; apart, the first half
shrinks to a third. `docs/live/build.py` splits the file, and a page joins it again.
"""

from pathlib import Path


def split(data: bytes) -> tuple[bytes, bytes]:
    """Every second byte, and the others."""
    return data[0::2], data[1::2]


def join(path: Path | str) -> None:
    """Makes a file of its halves, which lie beside it as `.even` and `.odd`, and go."""
    halves = [Path(f"{path}.{name}") for name in ("even", "odd")]
    even, odd = (half.read_bytes() for half in halves)
    data = bytearray(len(even) + len(odd))
    data[0::2], data[1::2] = even, odd
    Path(path).write_bytes(data)
    for half in halves:
        half.unlink()
