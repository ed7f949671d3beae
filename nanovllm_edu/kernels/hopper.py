"""`HopperProduct`: compiles `hopper_product.cu`, binds it to operands, and launches it.

Triton hides the parts of a Hopper GPU that products of 1 to 256 rows need together: copies that one
block asks for and all blocks of a cluster receive, sums through another block's shared memory. So
this one kernel of the package is CUDA C++. NVRTC, which comes with torch, compiles it when it is
first needed; a compilation takes half a second and is made once per shape and process.

A tensor map describes a matrix to the copy engine: its address and shape, and the box that one copy
moves. It is made once per operand, since addresses here never change.

Twins: `projections.py`, and `twins.py` in torch. Read next: `hopper_product.cu`.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("hopper_product.cu")
DEPTH = 64
"""Columns of x and w in one tile: 128 bytes, the widest that the copy engine can swizzle."""


@dataclass(frozen=True)
class HopperTiles:
    """How one product is cut. Measured by `benchmarks/hopper_tiles.py`.

    Attributes:
        m: Rows of a block: 64 or 128.
        n: Columns of a block.
        splits: Blocks that share a depth, of one cluster.
        cluster_n: Blocks of a cluster, side by side, that share their rows of x.
        cluster_m: Blocks of a cluster, one below the other, that share their columns of w.
        stages: Tiles in flight.
    """

    m: int
    n: int
    splits: int
    cluster_n: int
    cluster_m: int
    stages: int

    def fits(self, kind: str, num_columns: int, depth: int) -> bool:
        """Whether a product of this shape can be cut so."""
        width = self.columns(kind) * self.cluster_n
        return num_columns % width == 0 and depth % (self.splits * DEPTH) == 0

    def columns(self, kind: str) -> int:
        """Columns of the result that a block makes: half of those of a tile of gates and ups."""
        return self.n // 2 if kind == "GATE_UP" else self.n

    @property
    def num_threads(self) -> int:
        """Of a block: four warps per 64 rows, and the producer."""
        return 2 * self.m + 32

    @property
    def shared_bytes(self) -> int:
        """Of a block: the ring of tiles."""
        return self.stages * (self.m + self.n) * DEPTH * 2


class HopperProduct:
    """One product bound to its operands.

    Args:
        kind: "PROJECT", "GATE_UP" or "ADD".
        x: bf16 [M, K].
        w: bf16 [N, K]; for GATE_UP [2 N, K], all gates first.
        out: bf16 [M, N]; for ADD the residual stream, which is added to.
        squares: float32 [M, parts]: read by PROJECT and GATE_UP, written by ADD.
        tiles: How to cut it.
        eps: Of the norm.
        weighted: bf16 [M, N], for ADD: `out * norm_weight`, if that is given.
        norm_weight: bf16 [N].
    """

    def __init__(
        self,
        kind: str,
        x: Tensor,
        w: Tensor,
        out: Tensor,
        squares: Tensor,
        tiles: HopperTiles,
        *,
        eps: float = 0.0,
        weighted: Tensor | None = None,
        norm_weight: Tensor | None = None,
    ) -> None:
        num_rows, depth = x.shape
        num_columns, num_parts = out.shape[1], squares.shape[1]
        columns_of_tile = tiles.columns(kind)
        assert tiles.fits(kind, num_columns, depth)
        assert kind != "ADD" or num_parts == num_columns // tiles.n
        self._tensors = (x, w, out, squares, weighted, norm_weight)  # whose addresses these are
        device = x.device.index
        self._kernel = compiled(kind, depth, num_columns, num_parts, tiles, device)
        self._grid = (
            num_columns // columns_of_tile,
            _round_up(-(-num_rows // tiles.m), tiles.cluster_m),
            tiles.splits,
        )
        self._tiles = tiles
        self._maps = (
            tensor_map(x, tiles.m // tiles.cluster_n),
            tensor_map(w, columns_of_tile // tiles.cluster_m),
        )
        values = [
            *(ctypes.c_void_p(_address(t)) for t in (out, squares, weighted, norm_weight)),
            ctypes.c_int(num_rows),
            ctypes.c_float(eps),
        ]
        pointers = [int(m.getPtr()) for m in self._maps] + [ctypes.addressof(v) for v in values]
        self._values = values
        self._arguments = (ctypes.c_void_p * len(pointers))(*pointers)

    def launch(self, is_overlapped: bool = True) -> None:
        """Puts the kernel on torch's current stream."""
        driver = _driver()
        config = driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = self._grid
        config.blockDimX, config.blockDimY, config.blockDimZ = self._tiles.num_threads, 1, 1
        config.sharedMemBytes = self._tiles.shared_bytes
        config.hStream = torch.cuda.current_stream().cuda_stream
        if is_overlapped:
            overlap = driver.CUlaunchAttribute()
            ids = driver.CUlaunchAttributeID
            overlap.id = ids.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
            overlap.value.programmaticStreamSerializationAllowed = 1
            config.attrs, config.numAttrs = [overlap], 1
        arguments = ctypes.addressof(self._arguments)
        _check(driver.cuLaunchKernelEx(config, self._kernel, arguments, 0))


def why_unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """The reason why this kernel cannot run; None if it can."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) != (9, 0):
        return "it is for GPUs of compute capability 9.0"
    if dtype != torch.bfloat16:
        return f"its numbers are bfloat16, not {dtype}"
    try:
        _driver()
    except ImportError:
        return "the package cuda-bindings is not installed"
    return None


def tensor_map(matrix: Tensor, box_rows: int) -> Any:
    """Describes a bf16 matrix [rows, K] to the copy engine, in boxes of `box_rows` x 64.

    Rows outside the matrix are copied as zeros.
    """
    driver = _driver()
    rows, depth = matrix.shape
    assert matrix.dtype == torch.bfloat16
    assert matrix.is_contiguous()
    one = driver.cuuint32_t(1)
    return _check(
        driver.cuTensorMapEncodeTiled(
            driver.CUtensorMapDataType.CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            2,
            matrix.data_ptr(),
            [driver.cuuint64_t(depth), driver.cuuint64_t(rows)],
            [driver.cuuint64_t(2 * depth)],
            [driver.cuuint32_t(DEPTH), driver.cuuint32_t(box_rows)],
            [one, one],
            driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
            driver.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_128B,
            driver.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            driver.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    )


@cache
def compiled(
    kind: str, depth: int, num_columns: int, num_parts: int, tiles: HopperTiles, device: int
) -> Any:
    """The kernel for one shape, loaded on a device, which is the current one."""
    assert device == torch.cuda.current_device()
    driver = _driver()
    constants = {
        "KIND": kind, "K": depth, "COLUMNS": num_columns, "SQUARES": num_parts,
        "BM": tiles.m, "BN": tiles.n, "SPLITS": tiles.splits, "CLUSTER_N": tiles.cluster_n,
        "CLUSTER_M": tiles.cluster_m, "STAGES": tiles.stages,
    }  # fmt: skip
    head = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    module = _check(driver.cuModuleLoadData(_cubin(head + wgmma(tiles.n) + SOURCE.read_text())))
    kernel = _check(driver.cuModuleGetFunction(module, b"hopper_product"))
    attributes = driver.CUfunction_attribute
    limit = attributes.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    _check(driver.cuFuncSetAttribute(kernel, limit, tiles.shared_bytes))
    # All of a multiprocessor's memory as shared memory: the next kernel's blocks need room beside
    # this one's, or they cannot fetch their weights early.
    carveout = attributes.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
    _check(driver.cuFuncSetAttribute(kernel, carveout, 100))
    return kernel


def wgmma(n: int) -> str:
    """A macro for the matrix instruction of 64 x n outputs, n / 2 registers of each thread."""
    count = n // 2
    registers = ", ".join(f"%{i}" for i in range(count))
    outputs = ", ".join(f'"+f"(acc[{i}])' for i in range(count))
    return (
        f'#define WGMMA(acc, a, b, keep) asm volatile("{{ .reg .pred p; setp.ne.b32 p, %{count + 2}'
        f", 0; wgmma.mma_async.sync.aligned.m64n{n}k16.f32.bf16.bf16 {{{registers}}}, %{count}, "
        f'%{count + 1}, p, 1, 1, 0, 0; }}" : {outputs} : "l"(a), "l"(b), "r"((int)(keep)))\n'
    )


def _cubin(source: str) -> bytes:
    from cuda.bindings import nvrtc

    program = _check(nvrtc.nvrtcCreateProgram(source.encode(), b"hopper_product.cu", 0, [], []))
    options = [b"--gpu-architecture=sm_90a", b"--std=c++17"]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = b" " * _check(nvrtc.nvrtcGetProgramLogSize(program))
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(f"hopper_product.cu does not compile: {log.decode()}")
    cubin = b" " * _check(nvrtc.nvrtcGetCUBINSize(program))
    _check(nvrtc.nvrtcGetCUBIN(program, cubin))
    return cubin


def _driver() -> Any:
    from cuda.bindings import driver

    return driver


def _check(result: tuple) -> Any:
    """The value of a call of the driver, which returns (error, value) or (error,)."""
    error, *values = result
    if int(error):
        raise RuntimeError(f"CUDA: {error!r}")
    return values[0] if values else None


def _address(tensor: Tensor | None) -> int:
    """0 for none."""
    return 0 if tensor is None else tensor.data_ptr()


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
