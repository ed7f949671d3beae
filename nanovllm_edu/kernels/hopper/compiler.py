"""CUDA C++ for Hopper: from a `.cu` file beside this one to a kernel that can be launched.

Triton hides some parts of a Hopper GPU that a small decode step needs: copies that one block asks
for and all blocks of a cluster receive, sums through another block's shared memory, which thread
holds what; and, where prompts are long, products that one group of warps begins while another
computes its softmax. So some kernels of the package are CUDA C++. NVRTC, which comes with torch,
compiles them when they are first needed: a second for each shape, once in a process.

Read next: `few_rows.py`, `gemm.py`, `decode.py`, `attention.py`.
"""

import ctypes
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class HopperKernel:
    """A kernel of a `.cu` file, compiled for some constants and loaded on the current device.

    Args:
        name: Of the file; the kernel in it is called hopper_ and that.
        constants: What the source calls by names in capitals.
        head: Text to compile before the source, and before what `hopper.cuh` gives to all.
        shared_bytes: Dynamic shared memory of a block.
    """

    def __init__(
        self, name: str, constants: dict[str, object], head: str = "", shared_bytes: int = 0
    ) -> None:
        driver = cuda_driver()
        defines = "".join(f"#define {key} {value}\n" for key, value in constants.items())
        source = "".join(map(_text, ("hopper.cuh", f"{name}.cu")))
        module = check(driver.cuModuleLoadData(_cubin(name, defines + head + source)))
        self._kernel = check(driver.cuModuleGetFunction(module, f"hopper_{name}".encode()))
        self._shared_bytes = shared_bytes
        if shared_bytes:
            self._ask_for_shared_memory()

    def _ask_for_shared_memory(self) -> None:
        driver = cuda_driver()
        names = driver.CUfunction_attribute
        limit = names.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        check(driver.cuFuncSetAttribute(self._kernel, limit, self._shared_bytes))
        # All of a multiprocessor's memory as shared memory: the next kernel's blocks need room
        # beside this one's, or they cannot fetch their weights early.
        carveout = names.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
        check(driver.cuFuncSetAttribute(self._kernel, carveout, 100))

    def launch(
        self,
        grid: tuple[int, int, int],
        num_threads: int,
        arguments: "Arguments",
        is_overlapped: bool,
    ) -> None:
        """Puts the kernel on torch's current stream, overlapped as `triton/launch.py` says."""
        driver = cuda_driver()
        config = driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = grid
        config.blockDimX, config.blockDimY, config.blockDimZ = num_threads, 1, 1
        config.sharedMemBytes = self._shared_bytes
        config.hStream = torch.cuda.current_stream().cuda_stream
        if is_overlapped:
            overlap = driver.CUlaunchAttribute()
            ids = driver.CUlaunchAttributeID
            overlap.id = ids.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
            overlap.value.programmaticStreamSerializationAllowed = 1
            config.attrs, config.numAttrs = [overlap], 1
        check(driver.cuLaunchKernelEx(config, self._kernel, arguments.address, 0))


class Arguments:
    """A launch's arguments in the form the driver wants; keeps alive what they point at.

    Args:
        values: Tensors (None is a null pointer), ctypes numbers, and objects with a `getPtr`
            (tensor maps, passed by value).
    """

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = list(values)
        self._boxed = [_boxed(value) for value in self._values]
        self._array = (ctypes.c_void_p * len(self._boxed))(*map(_place_of, self._boxed))

    @property
    def address(self) -> int:
        """Of the array of pointers to the arguments."""
        return ctypes.addressof(self._array)


def _boxed(value: Any) -> Any:
    """What has the argument in its memory: a tensor is passed as a pointer, which needs a place."""
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(0 if value is None else value.data_ptr())
    return value


def _place_of(boxed: Any) -> int:
    return int(boxed.getPtr()) if hasattr(boxed, "getPtr") else ctypes.addressof(boxed)


@lru_cache(maxsize=1024)
def tensor_map(
    address: int, sizes: tuple[int, ...], strides: tuple[int, ...], box: tuple[int, ...]
) -> Any:
    """Describes bf16 numbers to the copy engine, the innermost axis first; its stride is 1.

    Numbers outside of `sizes` are copied as zeros.
    """
    driver = cuda_driver()
    return check(
        driver.cuTensorMapEncodeTiled(
            driver.CUtensorMapDataType.CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            len(sizes),
            address,
            [driver.cuuint64_t(size) for size in sizes],
            [driver.cuuint64_t(2 * stride) for stride in strides],
            [driver.cuuint32_t(count) for count in box],
            [driver.cuuint32_t(1)] * len(sizes),
            driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
            driver.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_128B,
            driver.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            driver.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    )


def why_unavailable(device: torch.device, dtype: torch.dtype) -> str | None:
    """The reason why these kernels cannot run; None if they can."""
    is_there = device.type == "cuda" and torch.cuda.is_available()
    if not is_there or torch.cuda.get_device_capability(device) != (9, 0):
        return "it is for GPUs of compute capability 9.0"
    if dtype != torch.bfloat16:
        return f"its numbers are bfloat16, not {dtype}"
    try:
        cuda_driver()
    except ImportError:
        return "the package cuda-bindings is not installed"
    return None


def _text(file: str) -> str:
    return Path(__file__).with_name(file).read_text()


def _cubin(name: str, source: str) -> bytes:
    from cuda.bindings import nvrtc

    program = check(nvrtc.nvrtcCreateProgram(source.encode(), f"{name}.cu".encode(), 0, [], []))
    options = [b"--gpu-architecture=sm_90a", b"--std=c++17"]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = b" " * check(nvrtc.nvrtcGetProgramLogSize(program))
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(f"{name}.cu does not compile: {log.decode()}")
    cubin = b" " * check(nvrtc.nvrtcGetCUBINSize(program))
    check(nvrtc.nvrtcGetCUBIN(program, cubin))
    return cubin


@cache
def cuda_driver() -> Any:
    """CUDA's driver API."""
    from cuda.bindings import driver

    return driver


def check(result: tuple) -> Any:
    """The value of a call of the driver, which returns (error, value) or (error,)."""
    error, *values = result
    if int(error):
        raise RuntimeError(f"CUDA: {error!r}")
    return values[0] if values else None
