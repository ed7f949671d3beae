"""Programmatic dependent launch: a kernel may begin while the one before it is still at work.

Inside a CUDA graph, a kernel starts only when its predecessor has ended, which leaves the memory
idle for a microsecond or two at each of the 140 boundaries of a decode step. On Hopper a kernel can
be launched early, do what does not depend on its predecessor (fetch its weights) and then wait:

    predecessor  ... compute ...........| end
    this kernel        fetch weights ...| wait returns, read activations, compute

Between kernels of the library, which do not take part, ours still gain the microsecond that a
launch takes: a kernel that does not allow a successor is one that allows it at its end.

The rules that keep this equal to running one after the other, for every kernel of the chain:

- before `wait_for_predecessor`, only read what no kernel of the graph writes (weights, and the
  block tables and lengths, which only the graph's last kernel changes);
- some program of every kernel waits, because "my predecessor has ended" then implies that all
  before it have;
- a step's first kernel waits before it allows a successor, so that two steps never overlap.

Source: CUDA's programmatic dependent launch; `griddepcontrol` in the PTX manual.

Read next: `gemm.py`, which loads its weights before it waits.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

IS_INTERPRETED = triton.knobs.runtime.interpret  # TRITON_INTERPRET=1: kernels run on the CPU


def can_overlap(device: torch.device) -> bool:
    """Whether the device has programmatic dependent launch: Hopper and later do."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


def is_overlap_wanted(asked: bool | None, device: torch.device) -> bool:
    """What was asked for; if nothing was, what the device can."""
    return can_overlap(device) if asked is None else asked


def launch_options(is_overlapped: bool) -> dict[str, Any]:
    """Keyword arguments of a launch: the kernel's `OVERLAP` flag and Triton's own switch."""
    return {"OVERLAP": True, "launch_pdl": True} if is_overlapped else {"OVERLAP": False}


@triton.jit
def allow_successor(OVERLAP: tl.constexpr):
    """From here on the next kernel may be brought in wherever this one leaves room."""
    if OVERLAP:
        gdc_launch_dependents()


@triton.jit
def wait_for_predecessor(OVERLAP: tl.constexpr):
    """Return when the kernel before this one has ended and its writes can be seen."""
    if OVERLAP:
        gdc_wait()
