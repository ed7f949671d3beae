"""Reads a JSON file of a model folder, which may hold anything.

Read next: `registry.py`, which reads the most of them.
"""

import json
from pathlib import Path
from typing import Any

from nanovllm_edu.errors import ModelLoadError


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ModelLoadError: It cannot be read, is no JSON, is nested too deeply, or is no object.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise ModelLoadError(
            f"{path} cannot be used: {error!s:.300}. Download it again or correct it."
        ) from error
    if not isinstance(value, dict):
        raise ModelLoadError(
            f"{path} cannot be used: it holds a {type(value).__name__}, not an object. Download it "
            "again or correct it."
        )
    return value
