"""What a time was measured on: the names of a model and of a device, for people and for comparing.

Read next: `virtual/calibration.py`, which is of one model and one device.
"""

import platform
from pathlib import Path
from typing import NamedTuple

import torch

from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM


class MadeOf(NamedTuple):
    """A runner's model and device, each in a few words."""

    model: str
    device: str


def made_of(model: Qwen3ForCausalLM) -> MadeOf:
    """Says what computes what: two runners of which it says the same take the same time."""
    shape, device = model.config, model.embed_tokens.weight.device
    dtype = str(shape.dtype).removeprefix("torch.")
    size = f"{shape.num_layers} layers of {shape.hidden_size}"
    return MadeOf(f"{shape.architecture}, {size}, {dtype}", device_name(device))


def device_name(device: torch.device) -> str:
    """The product's name, such as "NVIDIA H200"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
