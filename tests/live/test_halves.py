"""Halves of a file are the file again."""

from pathlib import Path

import pytest

from nanovllm_edu.live.halves import join, split


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_halves_of_a_file_are_the_file_again(data: bytes, tmp_path: Path):
    path = tmp_path / "weights"
    for name, half in zip(("even", "odd"), split(data), strict=True):
        (tmp_path / f"weights.{name}").write_bytes(half)
    join(path)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]
