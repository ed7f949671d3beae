"""Which attention backend to use, and why: a decision that is data, like all others here.

Preference: flash-attn, then our Triton kernel, then sdpa. `reference` is only used when asked for.
"""

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from nanovllm_edu.attention import flash
from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.attention.sdpa import SdpaAttention
from nanovllm_edu.errors import BackendUnavailableError

TRITON_HEAD_DIMS = (64, 128)
TRITON_MIN_BLOCK_SIZE = 4


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A backend's name and the reason it was chosen, for people to read; and what was asked for."""

    name: str
    why: str
    asked: str = "auto"


def choose(
    asked: str, device: torch.device, dtype: torch.dtype, head_dim: int, block_size: int
) -> BackendChoice:
    """Chooses a backend, or checks the one that was asked for.

    Raises:
        BackendUnavailableError: The one asked for cannot run here; says why and what to do.
    """
    no_flash = flash.why_unavailable(device, dtype, head_dim, block_size)
    no_triton = _why_no_triton(device, head_dim, block_size)
    if asked != "auto":
        problem = {"flash": no_flash, "triton": no_triton}.get(asked)
        if problem:
            raise BackendUnavailableError(f"attention_backend={asked!r}: {problem}.")
        return BackendChoice(asked, "asked for by attention_backend", asked)
    if no_flash is None:
        return BackendChoice("flash", "flash-attn is installed and fits device, dtype and blocks")
    if device.type == "cuda" and no_triton is None:
        return BackendChoice("triton", f"not flash: {no_flash}")
    if device.type == "cuda":
        return BackendChoice("sdpa", f"not flash: {no_flash}; not triton: {no_triton}")
    return BackendChoice("sdpa", f"the fast one on {device.type}")


def make(choice: BackendChoice) -> AttentionBackend:
    """Builds the chosen backend."""
    if choice.name == "reference":
        return ReferenceAttention()
    if choice.name == "sdpa":
        return SdpaAttention()
    from nanovllm_edu.kernels.store_kv import store_kv

    if choice.name == "flash":
        return flash.FlashAttention(store_kv)
    from nanovllm_edu.attention.triton_paged import TritonPagedAttention

    return TritonPagedAttention()


def _why_no_triton(device: torch.device, head_dim: int, block_size: int) -> str | None:
    if find_spec("triton") is None:
        return "triton is not installed; `pip install triton`"
    if device.type != "cuda":
        return f"Triton kernels need a CUDA GPU, and device is {device}; use 'sdpa'"
    if head_dim not in TRITON_HEAD_DIMS:
        return f"our Triton kernel has head_dim {TRITON_HEAD_DIMS}, not {head_dim}; use 'sdpa'"
    if block_size < TRITON_MIN_BLOCK_SIZE:
        return f"our Triton kernel needs block_size >= {TRITON_MIN_BLOCK_SIZE}; use 'sdpa'"
    return None
