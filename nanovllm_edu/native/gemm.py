"""`NativeGemm` and `Int8Gemm`: a product with a weight in C, for float32 on a CPU.

Read next: `gemm.c`; the references are `reference` in `layers/packed.py` and `dequantize` in
`layers/int8.py`.
"""

import mmap
from collections.abc import Iterator
from ctypes import c_int
from functools import partial
from math import sqrt

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import pad

from nanovllm_edu.layers.embedding import Embedding
from nanovllm_edu.layers.int8 import GROUP, quantize, squared_error
from nanovllm_edu.layers.linear import Linear
from nanovllm_edu.layers.packed import reference
from nanovllm_edu.native.library import CompileError
from nanovllm_edu.native.threads import load_kernels, num_threads

Matrix = Linear | Embedding


functions = partial(load_kernels, "gemm.c")


def why_unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """The reason why the GEMM in C cannot be used here; None if it can."""
    if device.type != "cpu":
        return f"it runs on a CPU, and device is {device}"
    if dtype != torch.float32:
        return f"it multiplies float32, and dtype is {dtype}"
    try:
        functions()
    except CompileError as error:
        return str(error)
    return None


def use_native_gemms(model: torch.nn.Module) -> None:
    """Has every matrix of a model multiply in C. Ask `why_unavailable` first."""
    matrices = list(_matrices(model))
    sizes = [_packed_size(module.weight) for module in matrices]
    for module, room in zip(matrices, large_pages(sum(sizes)).split(sizes), strict=True):
        module.gemm = NativeGemm(room)


def large_pages(count: int) -> Float[Tensor, " count"]:
    """Room for so many float32 numbers, in pages of 2 MiB where the system has them.

    A processor looks up where each page of memory really is. All weights are read in each step, and
    of ordinary pages, of 4 KiB, they have so many that looking up takes a third of the time.
    A page takes memory when it is first written to.
    """
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # of shared memory no large pages are made
    memory = mmap.mmap(-1, max(4 * count, 1), flags=private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.float32, count=count) if count else torch.empty(0)


def _packed_size(weight: Tensor) -> int:
    outputs, inputs = weight.shape
    return (outputs + -outputs % _width()) * inputs


def _width() -> int:
    """Outputs of a panel."""
    return c_int.in_dll(functions(), "panel_width").value


def use_int8_gemms(model: torch.nn.Module, lookup: Embedding) -> float:
    """The same with weights in 8 bits. Those in full are given up, but for a table of rows.

    Args:
        model: Its weights are float32.
        lookup: The table in which tokens are looked up.

    Returns:
        What was lost of the weights: the root mean square of the differences over theirs.
    """
    lost = there = 0.0
    for module in _matrices(model):
        module.gemm = Int8Gemm(module.weight.detach())
        lost, there = lost + module.gemm.lost, there + module.gemm.there
        if module is not lookup:
            module.weight = torch.nn.Parameter(module.weight.to("meta"), requires_grad=False)
    return sqrt(lost / there) if there else 0.0


def _matrices(model: torch.nn.Module) -> Iterator[Matrix]:
    return (module for module in model.modules() if isinstance(module, Matrix))


class NativeGemm:
    """Keeps one weight packed as `gemm.c` wants it; packs it again if it was written to.

    Args:
        room: Where to keep it; None: anywhere.
    """

    def __init__(self, room: Float[Tensor, " count"] | None = None) -> None:
        self._room = room
        self._key: tuple[int, int] | None = None
        self._packed = torch.empty(0)

    def __call__(
        self,
        x: Float[Tensor, "rows inputs"],
        weight: Float[Tensor, "outputs inputs"],
        bias: Float[Tensor, " outputs"] | None = None,
    ) -> Float[Tensor, "rows outputs"]:
        """See `reference`."""
        if x.requires_grad or weight.requires_grad or weight.is_inference():
            return reference(x, weight, bias)
        key = (weight.data_ptr(), weight._version)
        if self._key != key:
            assert weight.dtype == torch.float32
            assert weight.device.type == "cpu"
            self._packed = pack(weight, self._room)
            self._key = key
        return _multiply("gemm", x, (self._packed,), weight.shape, bias)

    def __deepcopy__(self, memo: object) -> "NativeGemm":
        """A copy of a matrix is packed anew."""
        return NativeGemm()


class Int8Gemm:
    """Keeps one weight in 8 bits, four inputs of an output in a word, packed as `gemm.c` wants it.

    Args:
        weight: What is kept; later calls do not look at theirs.

    Attributes:
        lost: The sum of the squares of what rounding changed.
        there: The sum of the squares of the weight.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"]) -> None:
        assert c_int.in_dll(functions(), "group_size").value == GROUP
        kept = quantize(weight)
        self.lost, self.there = squared_error(weight, kept)
        self._filling = -weight.shape[1] % 4
        fours = pad(kept.integers, (0, self._filling)).view(torch.int32)
        self._packed = pack(fours), pack(kept.scales)
        self._shape = weight.shape[0], weight.shape[1] + self._filling

    def __call__(
        self,
        x: Float[Tensor, "rows inputs"],
        weight: Tensor,
        bias: Float[Tensor, " outputs"] | None = None,
    ) -> Float[Tensor, "rows outputs"]:
        """See `reference`, with the weight that was kept."""
        if self._filling:
            x = pad(x, (0, self._filling))
        return _multiply("gemm_int8", x, self._packed, self._shape, bias)

    def __deepcopy__(self, memo: object) -> "Int8Gemm":
        """Nothing writes to it, so copies of a matrix share it."""
        return self


def _multiply(
    function: str,
    x: Float[Tensor, "rows inputs"],
    packed: tuple[Tensor, ...],
    shape: tuple[int, ...],
    bias: Float[Tensor, " outputs"] | None,
) -> Float[Tensor, "rows outputs"]:
    outputs, inputs = shape
    if x.stride(1) != 1:
        x = x.contiguous()
    assert x.dtype == torch.float32
    assert x.shape[1] == inputs
    assert bias is None or (bias.shape == (outputs,) and bias.is_contiguous())
    out = x.new_empty(len(x), outputs)
    getattr(functions(), function)(
        out.data_ptr(),
        x.data_ptr(),
        *(part.data_ptr() for part in packed),
        None if bias is None else bias.data_ptr(),
        x.stride(0),
        *(len(x), inputs, outputs, num_threads()),
    )
    return out


def pack(
    weight: Shaped[Tensor, "outputs inputs"], room: Shaped[Tensor, " count"] | None = None
) -> Shaped[Tensor, "panels inputs width"]:
    """The weight in the order in which `gemm.c` reads it, filled up with zeros at the end.

    Reference: `plain_pack`.

    Args:
        weight: Of words of four bytes.
        room: Where to put it; None: into new memory.
    """
    assert weight.itemsize == 4
    weight, (outputs, inputs), width = weight.contiguous(), weight.shape, _width()
    shape = -(-outputs // width), inputs, width
    packed = weight.new_empty(shape) if room is None else room.view(shape)
    packed[-1:].zero_()  # by torch, so that no tape takes a packing for a part of a step
    functions().pack(packed.data_ptr(), weight.data_ptr(), inputs, outputs, num_threads())
    return packed


def plain_pack(
    weight: Shaped[Tensor, "outputs inputs"], width: int
) -> Shaped[Tensor, "panels inputs width"]:
    """The same by torch, in panels of so many outputs: the reference."""
    outputs, inputs = weight.shape
    filled = pad(weight, (0, 0, 0, -outputs % width))
    return filled.view(-1, width, inputs).transpose(1, 2).contiguous()
