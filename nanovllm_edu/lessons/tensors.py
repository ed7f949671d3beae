"""A learner's tensor: from torch, from numpy, or a list of either.

Read next: `lesson_04.py`, which compares some.
"""

from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.lessons.checks import require_written
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.lessons.shown import shown


def tensor(got: Any, shape: tuple[int, ...], what: str) -> Tensor:
    """What the learner gave, as float32 of this shape.

    Raises:
        Wrong: It is no tensor, or of another shape.
    """
    value = any_tensor(got, what, f" {list(shape)}")
    if tuple(value.shape) != shape:
        raise Wrong(f"{what} is a tensor {list(shape)}; yours is {list(value.shape)}.")
    return value


def any_tensor(got: Any, what: str, of_shape: str = "") -> Tensor:
    """What the learner gave, as float32.

    Raises:
        Wrong: It is no tensor.
    """
    require_written(got)
    try:
        rows = [torch.as_tensor(row) for row in got] if isinstance(got, (list, tuple)) else None
        value = torch.as_tensor(got) if rows is None else torch.stack(rows)
        return value.detach().float()
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(
            f"{what} is a tensor{of_shape}; you gave {shown(got)} ({type(got).__name__})."
        ) from None
