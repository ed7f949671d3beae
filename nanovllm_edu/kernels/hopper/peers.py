"""`PeerMemory`: a piece of memory on each GPU of a host, which all ranks can read and write.

A process gives its memory a handle of 64 bytes, the others open it, and from then on an address
there is an address like any other; the loads and stores go over NVLink. It is CUDA's interprocess
communication. (NVLink's multicast, which stores to all GPUs at once, is not used.)

Read next: `peer_sum.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.kernels.hopper import compiler
from nanovllm_edu.kernels.hopper.compiler import check

Gather = Callable[[Tensor], list[Tensor]]
"""Takes a tensor of each rank, and returns all of them in the order of the ranks."""


@dataclass(frozen=True)
class PeerMemory:
    """Equally large memories, one on each rank, zero at first.

    Attributes:
        rank: Whose view this is.
        addresses: Of each rank's memory, as this process sees it.
        own: uint8, this rank's memory.
    """

    rank: int
    addresses: tuple[int, ...]
    own: Tensor

    @classmethod
    def share(cls, num_bytes: int, rank: int, gather: Gather) -> "PeerMemory":
        """Makes this rank's memory, and opens those of the others, who call this too."""
        driver = compiler.cuda_driver()
        device = torch.device("cuda", torch.cuda.current_device())
        address = int(check(driver.cuMemAlloc(num_bytes)))
        check(driver.cuMemsetD8(address, 0, num_bytes))
        torch.cuda.synchronize()  # before anybody writes there
        handle = bytes(check(driver.cuIpcGetMemHandle(address)).reserved)
        handles = gather(torch.tensor(list(handle), dtype=torch.uint8, device=device))
        addresses = tuple(
            address if other == rank else _opened(bytes(handle.tolist()))
            for other, handle in enumerate(handles)
        )
        return cls(rank, addresses, torch.as_tensor(_Bytes(address, num_bytes), device=device))


def why_not_shared(device: torch.device, num_ranks: int) -> str | None:
    """The reason why these ranks cannot read each other's memory; None if they can."""
    reason = compiler.why_unavailable(device, torch.bfloat16)
    if reason:
        return reason
    here = device.index or 0
    others = [other for other in range(num_ranks) if other != here]
    strangers = [o for o in others if not torch.cuda.can_device_access_peer(here, o)]
    return f"GPU {here} cannot read the memory of GPU {strangers[0]}" if strangers else None


def _opened(handle: bytes) -> int:
    driver = compiler.cuda_driver()
    theirs = driver.CUipcMemHandle()
    theirs.reserved = handle
    lazily = driver.CUipcMem_flags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
    return int(check(driver.cuIpcOpenMemHandle(theirs, lazily.value)))


class _Bytes:
    """Memory that torch did not make, in the form that it takes it over."""

    def __init__(self, address: int, num_bytes: int) -> None:
        self.__cuda_array_interface__: dict[str, Any] = {
            "shape": (num_bytes,),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 2,
        }
