"""`NativeGemm`: a product with a weight in C, for float32 on a CPU.

Read next: `gemm.c`; the reference is `reference` in `layers/packed.py`.
"""

from ctypes import CDLL, c_int
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from nanovllm_edu.layers.embedding import Embedding
from nanovllm_edu.layers.linear import Linear
from nanovllm_edu.layers.packed import reference
from nanovllm_edu.native.library import CompileError
from nanovllm_edu.native.threads import load_kernels, num_threads


@cache
def functions() -> CDLL:
    """The compiled GEMM.

    Raises:
        CompileError: It cannot be compiled here.
    """
    return load_kernels("gemm.c")


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
    for module in model.modules():
        if isinstance(module, (Linear, Embedding)):
            module.gemm = NativeGemm()


class NativeGemm:
    """Keeps one weight packed as `gemm.c` wants it; packs it again if it was written to."""

    def __init__(self) -> None:
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
            self._packed, self._key = pack(weight), key
        outputs, inputs = weight.shape
        if x.stride(1) != 1:
            x = x.contiguous()
        assert x.dtype == torch.float32
        assert x.shape[1] == inputs
        assert bias is None or (bias.shape == (outputs,) and bias.is_contiguous())
        out = x.new_empty(len(x), outputs)
        functions().gemm(
            out.data_ptr(),
            x.data_ptr(),
            self._packed.data_ptr(),
            None if bias is None else bias.data_ptr(),
            x.stride(0),
            *(len(x), inputs, outputs, num_threads()),
        )
        return out

    def __deepcopy__(self, memo: object) -> "NativeGemm":
        """A copy of a matrix is packed anew."""
        return NativeGemm()


def pack(weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "panels inputs width"]:
    """The weight in the order in which `gemm.c` reads it, filled up with zeros at the end."""
    assert weight.dtype == torch.float32
    assert weight.device.type == "cpu"
    (outputs, inputs), width = weight.shape, c_int.in_dll(functions(), "panel_width").value
    filled = pad(weight, (0, 0, 0, -outputs % width))
    return filled.view(-1, width, inputs).transpose(1, 2).contiguous()
