"""Reads a safetensors file without a library: a length, a JSON header, numbers.

    8 bytes     the header's length
    header      name -> dtype, shape, where its numbers begin and end
    numbers     one tensor behind the other

bfloat16 is the upper half of float32: each number gets two bytes of zeros in front.

Read next: `kv_cache.py`.
"""

import json
import sys
from array import array
from math import prod
from pathlib import Path
from typing import Any

from nanovllm_edu.errors import ModelLoadError, shown
from nanovllm_edu.runners.browser.floats import Floats

BYTES = {"F32": 4, "BF16": 2}


def read_weights(path: Path) -> dict[str, Floats]:
    """All tensors of a file by name, in float32.

    Raises:
        ModelLoadError: The file is missing, damaged, or holds other numbers.
    """
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        numbers = memoryview(data)[8 + length :]
        return {name: _floats(entry, numbers) for name, entry in header.items() if name[:2] != "__"}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelLoadError(
            f"{path} cannot be read: {error!r:.300}. Download it again."
        ) from error


def _floats(entry: dict[str, Any], numbers: memoryview) -> Floats:
    kind, (begin, end) = entry["dtype"], entry["data_offsets"]
    if kind not in BYTES:
        raise ValueError(f"numbers of type {shown(kind)}; only {', '.join(BYTES)} are read")
    if not 0 <= begin <= end <= len(numbers) or end - begin != BYTES[kind] * prod(entry["shape"]):
        raise ValueError("a tensor does not lie in the file")
    raw = numbers[begin:end]
    if kind == "BF16":
        wide = bytearray(2 * len(raw))
        wide[2::4], wide[3::4] = raw[0::2], raw[1::2]
        raw = wide
    floats = array("f", bytes(raw))
    if sys.byteorder == "big":
        floats.byteswap()
    return floats
