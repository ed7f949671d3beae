"""Which attention backend to use, and why: a decision that is data, like all others here.

Preference: on a Hopper GPU our CUDA C++ kernel (`benchmarks/gpu_kernels.py` says by how much), on
another flash-attn, then our Triton kernel; on a CPU our C kernel; sdpa where these cannot run.
`reference` is only used when asked for.
"""

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from nanovllm_edu.attention import flash
from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.attention.sdpa import SdpaAttention
from nanovllm_edu.errors import BackendUnavailableError
from nanovllm_edu.native import attention as native

TRITON_HEAD_DIMS = (32, 64, 128)
TRITON_MIN_BLOCK_SIZE = 4

PREFERENCES = {"cuda": ("hopper", "flash", "triton", "sdpa"), "cpu": ("native", "sdpa")}
"""Best first, by type of device; the last of them runs everywhere."""

RECORDABLE = ("flash", "triton", "hopper")
"""These read lengths on the device, so one CUDA graph serves every step; others on the host."""

WHAT_IT_IS = {
    "reference": "readable loops",
    "sdpa": "torch's attention over gathered keys",
    "native": "our C kernel, compiled for this CPU",
    "triton": "our Triton kernel",
    "hopper": "our CUDA C++ kernel for prompts, our Triton kernel for the rest",
    "flash": "flash-attn fits device, dtype and blocks",
}


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
    if asked != "auto":
        problem = _why_not(asked, device, dtype, head_dim, block_size)
        if problem:
            raise BackendUnavailableError(f"attention_backend={asked!r}: {problem}.")
        why = f"asked for by attention_backend; {WHAT_IT_IS[asked]}"
        return BackendChoice(asked, why, asked)
    not_chosen: list[str] = []
    for name in PREFERENCES[device.type]:
        problem = _why_not(name, device, dtype, head_dim, block_size)
        if problem is None:
            return BackendChoice(name, "; ".join([WHAT_IT_IS[name], *not_chosen]))
        not_chosen.append(f"not {name}: {problem}")
    raise AssertionError("the last of the preferences runs everywhere")


def make(choice: BackendChoice) -> AttentionBackend:
    """Builds the chosen backend."""
    if choice.name == "reference":
        return ReferenceAttention()
    if choice.name == "sdpa":
        return SdpaAttention()
    if choice.name == "native":
        return native.NativeAttention()
    from nanovllm_edu.kernels.triton.store_kv import store_kv

    if choice.name == "flash":
        return flash.FlashAttention(store_kv)
    if choice.name == "hopper":
        from nanovllm_edu.kernels.hopper.attention import HopperPagedAttention

        return HopperPagedAttention()
    from nanovllm_edu.kernels.triton.attention import TritonPagedAttention

    return TritonPagedAttention()


def _why_not(
    name: str, device: torch.device, dtype: torch.dtype, head_dim: int, block_size: int
) -> str | None:
    """The reason, with its remedy, why a backend cannot run here; None if it can."""
    if name == "flash":
        return flash.why_unavailable(device, dtype, head_dim, block_size)
    if name == "triton":
        return why_no_triton(device, head_dim, block_size)
    if name == "hopper":
        return why_no_hopper(device, dtype, head_dim, block_size)
    if name == "native":
        return native.why_unavailable(device, dtype, head_dim)
    return None


def why_no_triton(device: torch.device, head_dim: int, block_size: int) -> str | None:
    """The reason, with its remedy, why our Triton kernels cannot attend here; None if they can."""
    if find_spec("triton") is None:
        return "triton is not installed; `pip install triton`"
    if device.type != "cuda":
        return f"Triton kernels need a CUDA GPU, and device is {device}; use 'sdpa'"
    if head_dim not in TRITON_HEAD_DIMS:
        return f"our Triton kernel has head_dim {TRITON_HEAD_DIMS}, not {head_dim}; use 'sdpa'"
    if block_size < TRITON_MIN_BLOCK_SIZE:
        return f"our Triton kernel needs block_size >= {TRITON_MIN_BLOCK_SIZE}; use 'sdpa'"
    return None


def why_no_hopper(
    device: torch.device, dtype: torch.dtype, head_dim: int, block_size: int
) -> str | None:
    """The reason, with its remedy, why our CUDA C++ kernel cannot attend here; None if it can."""
    problem = why_no_triton(device, head_dim, block_size)
    if problem is None:
        from nanovllm_edu.kernels.hopper import prefill

        problem = prefill.why_unavailable(device, dtype, head_dim, block_size)
    return problem
