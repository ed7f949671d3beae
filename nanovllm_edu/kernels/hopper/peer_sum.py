"""`PeerSums`: what several GPUs have made a part of each, summed on all of them by one kernel.

A part lies in a slot of the rank's `PeerMemory`; a product can leave it there, then nothing is
copied. The sum goes into the residual stream, in the same pass with what the next norm needs, or
back to where the part came from. Large tensors are left to the library, which is made for them.

`reference` says what is computed. Read next: `peer_sum.cu`.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from nanovllm_edu.kernels.hopper.compiler import Arguments, HopperKernel
from nanovllm_edu.kernels.hopper.peers import PeerMemory
from nanovllm_edu.kernels.triton.residual import Residual
from nanovllm_edu.layers.split import Place

THREADS, BLOCKS = 256, 128
HEADER_BYTES = 1 << 16
SLOT_BYTES = 1 << 23
"""Of a place. Larger tensors are the library's."""
NUM_BYTES = HEADER_BYTES + len(Place) * SLOT_BYTES
"""Of a rank's memory."""


class PeerSums:
    """Sums of bfloat16 numbers over the ranks that share this memory.

    Args:
        memory: Of `NUM_BYTES`.
    """

    most_bytes = SLOT_BYTES

    def __init__(self, memory: PeerMemory) -> None:
        assert len(memory.own) == NUM_BYTES
        assert len(memory.addresses) * BLOCKS * 4 + BLOCKS * 4 + 16 <= HEADER_BYTES
        self._memory = memory
        counts_end = (len(memory.addresses) + 1) * BLOCKS * 4
        self._times = memory.own[counts_end : counts_end + 16].view(torch.int64)

    def wait_at_most(self, seconds: float) -> None:
        """Sets how long a rank is waited for; after that the process ends with an error."""
        self._times[0] = int(seconds * 1e9)

    @property
    def spent(self) -> Tensor:
        """int64 [], nanoseconds spent in sums on the device so far."""
        return self._times[1]

    def part(self, place: Place, *shape: int) -> Tensor:
        """Where this rank leaves its part of a sum."""
        begin = _offset(place)
        num_bytes = 2 * torch.Size(shape).numel()
        assert num_bytes <= SLOT_BYTES
        return self._memory.own[begin : begin + num_bytes].view(torch.bfloat16).view(shape)

    def sum(self, x: Tensor, place: Place) -> Tensor:
        """The sum of everybody's `x`, in place."""
        assert x.is_contiguous() and x.numel() % 8 == 0
        self.part(place, *x.shape).copy_(x)
        self._bind(place, 8, 0, x, None, None, None, is_added=False)(False)
        return x

    def into(
        self,
        residual: Residual,
        place: Place,
        *,
        is_added: bool,
        norm_weight: Tensor | None = None,
        is_overlapped: bool,
    ) -> Callable[[], None]:
        """What launches the sum of everybody's part into a residual stream.

        Args:
            residual: Gets it, and its squares; `weighted` too, if `norm_weight` is given.
            place: Of the parts.
            is_added: Whether it is added to what is there.
            norm_weight: Of the last norm.
            is_overlapped: Start before the product has ended.
        """
        launch = self._bind(
            place, residual.values.shape[1], residual.squares.shape[1],
            residual.values, residual.squares, residual.weighted, norm_weight, is_added=is_added,
        )  # fmt: skip
        return partial(launch, is_overlapped)

    def _bind(
        self,
        place: Place,
        num_columns: int,
        num_squares: int,
        out: Tensor,
        squares: Tensor | None,
        weighted: Tensor | None,
        norm_weight: Tensor | None,
        *,
        is_added: bool,
    ) -> Callable[[bool], None]:
        memory = self._memory
        assert num_squares == 0 or num_columns // num_squares in (8, 16, 32, 64, 128, 256)
        kernel = compiled(
            len(memory.addresses), memory.rank, num_columns, num_squares, is_added,
            norm_weight is not None, out.device.index,
        )  # fmt: skip
        num_eights = out.numel() // 8
        addresses = (ctypes.c_uint64 * len(memory.addresses))(*memory.addresses)
        arguments = Arguments(
            (addresses, ctypes.c_uint64(_offset(place)), out, squares, weighted, norm_weight,
             ctypes.c_uint64(num_eights))
        )  # fmt: skip
        grid = (min(BLOCKS, -(-num_eights // THREADS)), 1, 1)
        return partial(_launch, kernel, grid, arguments)


def _launch(
    kernel: HopperKernel, grid: tuple[int, int, int], arguments: Arguments, is_overlapped: bool
) -> None:
    if grid[0]:
        kernel.launch(grid, THREADS, arguments, is_overlapped)


def _offset(place: Place) -> int:
    return HEADER_BYTES + place.value * SLOT_BYTES


@cache
def compiled(
    num_ranks: int,
    rank: int,
    num_columns: int,
    num_squares: int,
    is_added: bool,
    has_norm: bool,
    device: int,
) -> HopperKernel:
    """The kernel for one shape, loaded on a device, which is the current one."""
    assert device == torch.cuda.current_device()
    constants = {
        "RANKS": num_ranks, "RANK": rank, "BLOCKS": BLOCKS, "THREADS": THREADS,
        "COLUMNS": num_columns, "SQUARES": num_squares,
        "ADDS": int(is_added), "HAS_NORM": int(has_norm),
    }  # fmt: skip
    return HopperKernel("peer_sum", constants)


def reference(
    parts: Sequence[Float[Tensor, "rows hidden"]],
    residual: Float[Tensor, "rows hidden"] | None = None,
) -> Float[Tensor, "rows hidden"]:
    """The parts' sum, in the order of the ranks, and the residual; rounded once."""
    total = torch.zeros_like(parts[0], dtype=torch.float32)
    for part in parts:
        total += part
    if residual is not None:
        total += residual
    return total.to(parts[0].dtype)
