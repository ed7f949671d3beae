"""Runs `prefill.cu` on a CPU: its own source, with `hopper_emulator.h` for what C++ lacks."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import torch

from nanovllm_edu.kernels.hopper import compiler
from nanovllm_edu.kernels.hopper.prefill import HopperPrefillTiles, constants_for
from nanovllm_edu.kernels.triton.flash import LOG2_E

HERE = Path(__file__).parent
SOURCES = Path(compiler.__file__).parent
COMPILER = shutil.which("c++")
MAP = "struct alignas(64) TensorMap { u64 words[16]; };"
SHARED = "extern __shared__ __align__(1024) char memory[];"
RUN = """
extern "C" int run(
    int blocks, int shared, const TensorMap* q, const TensorMap* keys, const TensorMap* values,
    bf16* out, const int* tables, const int* starts, const int* context_lens, u32* counter,
    int table_stride, int num_sequences, float scale) {
    kernel = [=] {
        hopper_prefill(*q, *keys, *values, out, tables, starts, context_lens, counter,
                       table_stride, num_sequences, scale);
    };
    return run_grid(blocks, THREADS, shared);
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


def build(constants: dict[str, object], folder: Path) -> ctypes.CDLL:
    """Compiles the kernel for some constants."""
    assert COMPILER
    defines = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    common = without_asm((SOURCES / "hopper.cuh").read_text()).replace(MAP, "")
    kernel = without_asm((SOURCES / "prefill.cu").read_text())
    assert SHARED in kernel
    kernel = kernel.replace(SHARED, "char* memory = block->base;")
    file, library = folder / "prefill.cpp", folder / "prefill.so"
    file.write_text('#include "hopper_emulator.h"\n' + defines + common + kernel + RUN)
    options = ["-std=c++17", "-O1", "-w", "-fPIC", "-shared", "-pthread", f"-I{HERE}"]
    subprocess.run([COMPILER, *options, "-o", library, file], check=True)
    return ctypes.CDLL(str(library))


def emulate(q, cache, tables, starts, context_lens, tiles: HopperPrefillTiles, folder, num_blocks):
    """What `HopperPrefill` does, on `num_blocks` multiprocessors; returns the output."""
    num_tokens, num_heads, head_dim = q.shape
    _, num_cached, block_size, num_kv_heads, _ = cache.shape
    constants = constants_for(num_heads, num_kv_heads, head_dim, block_size, tiles)
    library = build(constants, folder)
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


def _described(tensor, sizes, strides, box) -> Described:
    return Described(tensor.data_ptr(), sizes, strides, box)
