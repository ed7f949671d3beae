"""`send`: how columns of rows go to the device.

Read next: `edits.py`.
"""

import torch
from torch import Tensor


def send(
    columns: list[list[int]] | list[list[float]], dtype: torch.dtype, device: torch.device | str
) -> tuple[Tensor, ...]:
    """Several columns in one copy that does not wait for the device."""
    packed = torch.tensor(columns, dtype=dtype)
    if torch.device(device).type == "cuda":
        packed = packed.pin_memory()
    return packed.to(device, non_blocking=True).unbind(0)
