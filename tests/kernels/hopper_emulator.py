"""Runs kernels for Hopper on a CPU: their own source; `hopper_emulator.h` has what C++ lacks."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import torch

from nanovllm_edu.kernels.hopper import compiler, few_rows
from nanovllm_edu.kernels.hopper.few_rows import FewRowsTiles
from nanovllm_edu.kernels.hopper.gemm import HopperTiles, constants_of
from nanovllm_edu.kernels.hopper.prefill import HopperPrefillTiles, constants_for
from nanovllm_edu.kernels.triton.flash import LOG2_E

HERE = Path(__file__).parent
SOURCES = Path(compiler.__file__).parent
COMPILER = shutil.which("c++")
MAP = "struct alignas(64) TensorMap { u64 words[16]; };"
SHARED = "extern __shared__ __align__(1024) char memory[];"
RUN_PREFILL = """
extern "C" int run(
    int blocks, int shared, const TensorMap* q, const TensorMap* keys, const TensorMap* values,
    bf16* out, const int* tables, const int* starts, const int* context_lens, u32* counter,
    int table_stride, int num_sequences, float scale) {
    kernel = [=] {
        hopper_prefill(*q, *keys, *values, out, tables, starts, context_lens, counter,
                       table_stride, num_sequences, scale);
    };
    return run_grid({(unsigned)blocks, 1, 1}, THREADS, shared);
}
"""
RUN_GEMM = """
static void consumers_meet() { named_wait(1, CONSUMERS); }
extern "C" int run(
    int across, int down, int shared, const TensorMap* x, const TensorMap* w,
    bf16* out, float* squares, bf16* weighted, const bf16* norm, int num_rows, float eps) {
    kernel = [=] { hopper_gemm(*x, *w, out, squares, weighted, norm, num_rows, eps); };
    return run_grid({(unsigned)across, (unsigned)down, 1}, THREADS, shared);
}
"""
RUN_FEW_ROWS = """
extern "C" int run(
    int across, const bf16* x, const bf16* w, bf16* out, float* squares, bf16* weighted,
    const bf16* norm, int num_rows, float eps) {
    kernel = [=] { hopper_few_rows(x, w, out, squares, weighted, norm, num_rows, eps); };
    return run_grid({(unsigned)across, 1, 1}, THREADS, 0);
}
"""


class Described(ctypes.Structure):
    """What the emulator wants in a tensor map: bf16 numbers, the innermost axis first."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("sizes", ctypes.c_int64 * 3),
        ("strides", ctypes.c_int64 * 2),
        ("box", ctypes.c_int64 * 3),
        ("rest", ctypes.c_char * 56),
    )


def without_asm(source: str) -> str:
    """Source without the functions that are made of instructions."""
    parts, kept = re.split(r"(?m)^(?=\S)", source), []
    for part in parts:
        if part.startswith("}") and kept:
            kept[-1] += part
        else:
            kept.append(part)
    return "".join(part for part in kept if "asm volatile" not in part and "asm(" not in part)


def build(name: str, constants: dict[str, object], run: str, folder: Path) -> ctypes.CDLL:
    """Compiles a kernel for some constants, with what calls it."""
    assert COMPILER
    defines = "".join(f"#define {key} {value}\n" for key, value in constants.items())
    common = without_asm((SOURCES / "hopper.cuh").read_text()).replace(MAP, "")
    kernel = without_asm((SOURCES / f"{name}.cu").read_text())
    assert (SHARED in kernel) == ("extern __shared__" in kernel)
    kernel = kernel.replace(SHARED, "char* memory = block->base;")
    head = '#include "hopper_emulator.h"\nstatic void consumers_meet();\n'
    file, library = folder / f"{name}.cpp", folder / f"{name}.so"
    file.write_text(head + defines + common + kernel + run)
    options = ["-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-pthread", f"-I{HERE}"]
    subprocess.run([COMPILER, *options, "-o", library, file], check=True)
    return ctypes.CDLL(str(library))


def emulate(q, cache, tables, starts, context_lens, tiles: HopperPrefillTiles, folder, num_blocks):
    """What `HopperPrefill` does, on `num_blocks` multiprocessors; returns the output."""
    num_tokens, num_heads, head_dim = q.shape
    _, num_cached, block_size, num_kv_heads, _ = cache.shape
    constants = constants_for(num_heads, num_kv_heads, head_dim, block_size, tiles)
    library = build("prefill", constants, RUN_PREFILL, folder)
    width, heads = num_kv_heads * head_dim, constants["HEADS"]
    box = (64, heads, 64 * tiles.groups // heads)
    slots = (width, num_cached * block_size, 1)
    maps = [_described(q, (head_dim, num_heads, num_tokens), (head_dim, q.stride(0)), box)]
    maps += [_described(part, slots, (width, 0), (64, constants["BOX"], 1)) for part in cache]
    out = torch.full(q.shape, float("nan"), dtype=q.dtype)
    counter = torch.zeros(1, dtype=torch.int32)
    arrays = [ctypes.c_void_p(t.data_ptr()) for t in (out, tables, starts, context_lens, counter)]
    numbers = (tables.stride(0), len(context_lens), ctypes.c_float(head_dim**-0.5 * LOG2_E))
    shared = tiles.shared_bytes(head_dim)
    maps = [ctypes.byref(one) for one in maps]
    assert library.run(num_blocks, shared, *maps, *arrays, *numbers), "nobody goes on"
    assert counter.item() == 0
    return out


def emulate_gemm(kind, x, w, out, squares, tiles: HopperTiles, folder, weighted, norm_weight):
    """What `HopperGemm` does, for clusters of one block."""
    assert tiles.splits == tiles.cluster_n == tiles.cluster_m == 1
    (num_rows, depth), num_columns, width = x.shape, out.shape[1], tiles.columns(kind)
    library = build("gemm", constants_of(kind, depth, num_columns, tiles), RUN_GEMM, folder)
    maps = [_described(x, (depth, num_rows, 1), (depth, 0), (64, tiles.m, 1))]
    maps += [_described(w, (depth, len(w), 1), (depth, 0), (64, width, 1))]
    grid = (num_columns // width, -(-num_rows // tiles.m))
    arrays = [ctypes.c_void_p(t.data_ptr()) for t in (out, squares, weighted, norm_weight)]
    maps = [ctypes.byref(one) for one in maps]
    numbers = (num_rows, ctypes.c_float(1e-6))
    assert library.run(*grid, tiles.shared_bytes, *maps, *arrays, *numbers), "nobody goes on"


def emulate_few_rows(kind, x, w, out, squares, tiles: FewRowsTiles, folder, weighted, norm_weight):
    """What `FewRowsGemm` does, for clusters of one block."""
    assert tiles.splits == 1
    (num_rows, depth), num_columns = x.shape, out.shape[1]
    constants = few_rows.constants_of(kind, depth, num_columns, tiles)
    library = build("few_rows", constants, RUN_FEW_ROWS, folder)
    tensors = (x, w, out, squares, weighted, norm_weight)
    arrays = [ctypes.c_void_p(0 if t is None else t.data_ptr()) for t in tensors]
    numbers = (num_rows, ctypes.c_float(1e-6))
    assert library.run(num_columns // tiles.columns(kind), *arrays, *numbers), "nobody goes on"


def _described(tensor, sizes, strides, box) -> Described:
    return Described(tensor.data_ptr(), sizes, strides, box)
