"""How fast is every Triton kernel on a GPU, and which tiles are best?

    python benchmarks/gpu_kernels.py --out results.txt
    python benchmarks/gpu_kernels.py --only copy,ops,attention,prefill,products,steps

Tables of medians in the shape of Qwen3-0.6B, in which every launch reads other weights than the one
before it, as a step does. Whether the kernels are right is for `tests/kernels` and `tests/gpu`.

A part that fails is reported with its error and the rest still runs; the exit status says so too.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path

import torch
import triton
from gpu import copy_bandwidth
from gpu_step import (
    DEVICE,
    DTYPE,
    EPS,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    INTERMEDIATE,
    KV_HEADS,
    LAYERS,
    QKV,
    ROLES,
    VOCAB,
    angles,
    make_decoder,
    make_weights,
    microseconds,
    randn,
    scattered,
)

from nanovllm_edu.attention import flash
from nanovllm_edu.fused_decode.decoder import FusedDecoder
from nanovllm_edu.fused_decode.gemm_plan import LIBRARY
from nanovllm_edu.kernels.hopper import prefill as hopper_prefill
from nanovllm_edu.kernels.triton.decode_operands import DecodeTiles, DecodeWorkspace, NewTokens
from nanovllm_edu.kernels.triton.flash import LOG2_E
from nanovllm_edu.kernels.triton.gemm import Tiles
from nanovllm_edu.kernels.triton.launch import launch_options
from nanovllm_edu.kernels.triton.lm_head import head
from nanovllm_edu.kernels.triton.norm_gate_up import norm_gate_up
from nanovllm_edu.kernels.triton.norm_project import norm_project
from nanovllm_edu.kernels.triton.ops import TritonOps
from nanovllm_edu.kernels.triton.paged_decode import launch_decode
from nanovllm_edu.kernels.triton.paged_prefill import paged_prefill
from nanovllm_edu.kernels.triton.pick import SampleScratch
from nanovllm_edu.kernels.triton.project_add import SplitScratch, project_add
from nanovllm_edu.kernels.triton.residual import Residual
from nanovllm_edu.kernels.triton.store_kv import store_kv
from nanovllm_edu.layers.ops import TorchOps

OVERLAPPED, PLAIN = launch_options(is_overlapped=True), launch_options(is_overlapped=False)

_lines: list[str] = []
_failures: list[str] = []


def say(line: str = "") -> None:
    print(line, flush=True)
    _lines.append(line)


def attempt(name: str, work: Callable[[], str | None]) -> None:
    """Run one part; report its result or its error in a line, and go on."""
    try:
        result = work()
        if result is not None:
            say(f"{name:<44}{result}")
    except Exception as error:
        _failures.append(name)
        say(f"{name:<44}FAILED {type(error).__name__}: {str(error).splitlines()[:1]}")
        traceback.print_exc()


def measure_ops(bandwidth: float) -> None:
    say("\n## Elementwise operations, 16384 tokens\n")
    say(f"{'operation':<20}{'us':>9}{'of copy':>9}{'torch us':>10}")
    ops, reference, tokens = TritonOps(), TorchOps(), 16384
    x, residual, weight = randn(tokens, HIDDEN), randn(tokens, HIDDEN), randn(HIDDEN)
    gate_up = randn(tokens, 2 * INTERMEDIATE)
    q, k, v = randn(tokens, QKV).view(tokens, -1, HEAD_DIM).split((HEADS, KV_HEADS, KV_HEADS), 1)
    positions, norms = torch.arange(tokens, device=DEVICE) % 1024, randn(2, HEAD_DIM)
    table = angles()
    cache, _ = scattered([tokens], 256)
    slots = torch.arange(tokens, device=DEVICE)
    qk_elements = (HEADS + KV_HEADS) * HEAD_DIM
    rows = {
        "rms_norm": (lambda o: o.rms_norm(x, weight, EPS), 2 * HIDDEN),
        "add_rms_norm": (lambda o: o.add_rms_norm(x, residual, weight, EPS), 4 * HIDDEN),
        "qk_norm_rope": (
            lambda o: o.qk_norm_rope(q, k, positions, table, *norms, EPS),
            2 * qk_elements,
        ),
        "silu_and_mul": (lambda o: o.silu_and_mul(gate_up), 3 * INTERMEDIATE),
    }
    for name, (run, elements) in rows.items():

        def line(run=run, elements=elements) -> str:
            time_us = microseconds(lambda: run(ops), 1)
            share = 2 * elements * tokens / time_us / bandwidth
            return f"{time_us:9.1f}{share:9.0%}{microseconds(lambda: run(reference), 1):10.1f}"

        attempt_row(name, line)

    def store_line() -> str:
        time_us = microseconds(lambda: store_kv(cache, 0, slots, k, v), 1)
        return f"{time_us:9.1f}{8 * KV_HEADS * HEAD_DIM * tokens / time_us / bandwidth:9.0%}"

    attempt_row("store_kv", store_line)


def attempt_row(name: str, work: Callable[[], str]) -> None:
    try:
        say(f"{name:<20}{work()}")
    except Exception as error:
        _failures.append(name)
        say(f"{name:<20}FAILED {type(error).__name__}: {str(error).splitlines()[:1]}")
        traceback.print_exc()


ATTENTION_TILES = {
    256: [
        DecodeTiles(8, 64, 64, 2, 4, 168),
        DecodeTiles(8, 64, 64, 2, 2, 255),
        DecodeTiles(8, 128, 64, 2, 2, 255),
        DecodeTiles(8, 256, 64, 2, 2, 255),
        DecodeTiles(8, 512, 64, 2, 2, 255),
        DecodeTiles(8, 512, 32, 2, 2, 168),
        DecodeTiles(8, 1024, 64, 2, 2, 255),
        DecodeTiles(8, 1024, 32, 2, 2, 168),
        DecodeTiles(1, 64, 64, 2, 4, 168),
        DecodeTiles(1, 64, 64, 2, 4, 128),
        DecodeTiles(1, 64, 64, 2, 2, 255),
        DecodeTiles(1, 32, 32, 2, 2, 168),
        DecodeTiles(1, 32, 32, 2, 1, 255),
    ],
    16: [DecodeTiles(1, 64, 64, 3, 4, 128), DecodeTiles(1, 16, 16, 2, 1, 255)],
}


def attention_candidates(lengths: list[int]) -> dict[int, list[DecodeTiles]]:
    """Small blocks are measured on the long workloads only."""
    return {
        block_size: candidates
        for block_size, candidates in ATTENTION_TILES.items()
        if block_size == 256 or sum(lengths) > 100_000
    }


def workloads() -> dict[str, list[int]]:
    generator = torch.Generator().manual_seed(0)

    def lengths(rows: int, low: int, high: int) -> list[int]:
        drawn = torch.randint(low, high, (rows,), generator=generator).tolist()
        return sorted(drawn, reverse=True)  # as the runner sends them

    return {
        "1 x 256": [256],
        "8 x 128..384": lengths(8, 128, 384),
        "16 x 600..2000": lengths(16, 600, 2000),
        "32 x 128..384": lengths(32, 128, 384),
        "32 x 600..2000": lengths(32, 600, 2000),
        "64 x 500..2000": lengths(64, 500, 2000),
        "96 x 500..2000": lengths(96, 500, 2000),
        "128 x 128..384": lengths(128, 128, 384),
        "128 x 500..2000": lengths(128, 500, 2000),
        "192 x 300..1700": lengths(192, 300, 1700),
        "256 x 200..1500": lengths(256, 200, 1500),
    }


def attention_launcher(
    lengths: list[int], block_size: int, tiles: DecodeTiles, layers: int, data, options=PLAIN
):
    cache, tables, qkv, out, rows, context_lens, new = data
    workspace = DecodeWorkspace.allocate(
        len(lengths), tables.shape[1] * block_size, HEADS, KV_HEADS, HEAD_DIM, DEVICE, tiles
    )

    def launch() -> None:
        for layer in range(layers):
            launch_decode(
                qkv, cache.data[layer], out, tables, rows, context_lens, workspace,
                scale=HEAD_DIM**-0.5 * LOG2_E, fused=new, options=options,
            )  # fmt: skip

    return launch


def attention_data(lengths: list[int], block_size: int, layers: int):
    cache, tables = scattered(lengths, block_size, layers)
    return (
        cache,
        tables,
        randn(len(lengths), QKV),
        randn(len(lengths), HEADS, HEAD_DIM),
        torch.arange(len(lengths), device=DEVICE),
        torch.tensor(lengths, dtype=torch.int32, device=DEVICE),
        NewTokens(angles(), None, *randn(2, HEAD_DIM), EPS),
    )


def measure_attention(bandwidth: float) -> None:
    say("\n## Fused decode attention: us per layer, share of the copy bandwidth\n")
    say("tiles: chunks at most, tokens of a chunk at least, tile, stages, warps, registers")
    for name, lengths in workloads().items():
        size = sum(lengths) * 2 * KV_HEADS * HEAD_DIM * 2
        layers = max(4, min(28, 200_000_000 // size))
        for block_size, candidates in attention_candidates(lengths).items():
            data = attention_data(lengths, block_size, layers)
            results = []
            for tiles in candidates:
                with reported(f"attention {tiles}"):
                    modes = (PLAIN, OVERLAPPED) if len(lengths) <= 32 else (PLAIN,)
                    for options in modes:
                        launch = attention_launcher(
                            lengths, block_size, tiles, layers, data, options
                        )
                        results.append((microseconds(launch, layers), tiles, options["OVERLAP"]))
            say(f"\n{name}, block size {block_size}, at copy speed {size / bandwidth:.1f} us")
            for time_us, tiles, is_overlapped in sorted(results, key=lambda result: result[0]):
                cut = tuple(vars(tiles).values())
                note = "overlapped" if is_overlapped else ""
                say(f"  {time_us:8.1f} us {size / time_us / bandwidth:6.1%}  {cut} {note}")
            if block_size == 256:
                with suppress(ImportError):
                    say(f"  {flash_attention(data, layers):8.1f} us flash-attn")
                    for splits in (1, 2, 4) if len(lengths) <= 32 else ():
                        say(f"  {flash_attention(data, layers, splits):8.1f} us, {splits} splits")
                    shuffled = attention_data(shuffle(lengths), block_size, layers)
                    say(f"  {flash_attention(shuffled, layers):8.1f} us flash-attn, in any order")
            del data


# (heads, key-value heads, head_dim): Qwen3-0.6B, Qwen3-8B, Llama-3.2-1B
PREFILL_SHAPES = [(16, 8, 128), (32, 8, 128), (32, 8, 64)]
PREFILLS = {  # queries and contexts of each sequence
    "8 x 2k": ([2048] * 8, [2048] * 8),
    "16k": ([16_384], [16_384]),
    "2k after 14k": ([2048], [16_384]),
}


def prefill_operations(query_lens: list[int], context_lens: list[int], columns: int) -> int:
    """Floating-point operations of two products of every query with every key that it sees."""
    pairs = zip(query_lens, context_lens, strict=True)
    return 4 * columns * sum(n * (c - n) + n * (n + 1) // 2 for n, c in pairs)


def prefill_data(query_lens, context_lens, shape, block_size: int):
    """Queries, cache, tables, starts, lengths and output of one layer."""
    heads, kv_heads, head_dim = shape
    needed = [-(-length // block_size) for length in context_lens]
    ids = torch.randperm(sum(needed)).int().split(needed)
    tables = torch.nn.utils.rnn.pad_sequence(list(ids), batch_first=True).to(DEVICE)
    cache = randn(2, sum(needed), block_size, kv_heads, head_dim)
    q = randn(sum(query_lens), heads, head_dim)
    starts = torch.tensor([0, *query_lens]).cumsum(0).int().to(DEVICE)
    lengths = torch.tensor(context_lens, dtype=torch.int32, device=DEVICE)
    return q, cache, tables, starts, lengths, torch.empty_like(q)


def flash_prefill(q, cache, tables, starts, lengths, _, most: tuple[int, int]) -> None:
    from flash_attn import flash_attn_varlen_func

    key_starts = torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    flash_attn_varlen_func(
        q, *cache, cu_seqlens_q=starts, cu_seqlens_k=key_starts, max_seqlen_q=most[0],
        max_seqlen_k=most[1], causal=True, block_table=tables,
    )  # fmt: skip


def prefill_rate(name: str, shape, block_size: int, query_lens, context_lens) -> float:
    """TFLOP/s of one kernel."""
    data = prefill_data(query_lens, context_lens, shape, block_size)
    kernels: dict[str, Callable[..., None]] = {
        "Triton": paged_prefill,
        "flash-attn": partial(flash_prefill, most=(max(query_lens), max(context_lens))),
    }
    if name == "CUDA C++":
        kernels[name] = hopper_prefill.HopperPrefill()
    time_us = microseconds(lambda: kernels[name](*data), 1)
    return prefill_operations(query_lens, context_lens, shape[0] * shape[2]) / time_us / 1e6


def prefill_kernels(head_dim: int, block_size: int) -> list[str]:
    """Those that can run here."""
    modules = {"CUDA C++": hopper_prefill, "flash-attn": flash}
    shape = (torch.device(DEVICE), DTYPE, head_dim, block_size)
    return ["Triton", *(n for n, m in modules.items() if m.why_unavailable(*shape) is None)]


def measure_prefill() -> None:
    say("\n## Prefill attention: TFLOP/s of the products that a causal mask leaves\n")
    say(f"{'heads, shared, size':<22}{'block':>6}{'':<12}" + "".join(f"{n:>14}" for n in PREFILLS))
    for shape in PREFILL_SHAPES:
        for block_size in (16, 64, 256):
            for name in prefill_kernels(shape[2], block_size):
                with reported(f"prefill {shape} {block_size} {name}"):
                    rates = [prefill_rate(name, shape, block_size, *w) for w in PREFILLS.values()]
                    numbers = "".join(f"{rate:14.0f}" for rate in rates)
                    say(f"{shape!s:<22}{block_size:>6}  {name:<10}{numbers}")


def shuffle(lengths: list[int]) -> list[int]:
    return [lengths[i] for i in torch.randperm(len(lengths)).tolist()]


def flash_attention(data, layers: int, num_splits: int = 0) -> float:
    """flash-attn's time for the attention alone, without norm, rotation and store."""
    from flash_attn import flash_attn_with_kvcache

    cache, tables, qkv, _, rows, context_lens, _ = data
    q = qkv[:, : HEADS * HEAD_DIM].view(-1, 1, HEADS, HEAD_DIM)

    def launch() -> None:
        for layer in range(layers):
            flash_attn_with_kvcache(
                q, cache.keys(layer), cache.values(layer), cache_seqlens=context_lens,
                block_table=tables[: len(rows)], causal=True, num_splits=num_splits,
            )  # fmt: skip

    return microseconds(launch, layers)


class reported(suppress):
    """Like `suppress(Exception)`, but the failure is reported and counted."""

    def __init__(self, name: str) -> None:
        super().__init__(Exception)
        self.name = name

    def __exit__(self, kind, error, trace) -> bool:
        if error is not None:
            _failures.append(self.name)
            say(f"{self.name}: FAILED {kind.__name__}: {str(error).splitlines()[:1]}")
        return bool(super().__exit__(kind, error, trace))


# (m, n, k, lanes, splits, warps, stages), by rows and role
CANDIDATES = {
    8: {
        "qkv": [(16, 32, 256, 4, 1, 4, 1), (16, 16, 256, 4, 1, 4, 1), (16, 32, 128, 1, 1, 4, 4),
                (16, 32, 128, 2, 1, 4, 4)],
        "o": [(16, 16, 256, 4, 2, 4, 1), (16, 8, 256, 8, 1, 8, 1), (16, 16, 128, 4, 4, 4, 1),
              (16, 8, 64, 4, 1, 4, 4)],
        "gate_up": [(16, 16, 256, 4, 1, 4, 1), (16, 32, 256, 4, 1, 4, 1), (16, 32, 128, 1, 1, 4, 4),
                    (16, 32, 128, 2, 1, 4, 4), (16, 64, 128, 1, 1, 4, 4)],
        "down": [(16, 16, 256, 4, 3, 4, 1), (16, 16, 128, 4, 6, 4, 1), (16, 32, 128, 4, 6, 4, 1),
                 (16, 8, 128, 8, 1, 8, 4)],
        "head": [(16, 32, 128, 1, 1, 4, 5)],
    },
    32: {
        "qkv": [(32, 32, 128, 1, 1, 4, 4), (32, 32, 256, 1, 1, 4, 3), (32, 32, 128, 1, 1, 4, 6)],
        "o": [(32, 32, 128, 1, 4, 4, 4), (32, 16, 128, 1, 4, 4, 4), (32, 32, 128, 1, 2, 4, 6)],
        "gate_up": [(32, 32, 128, 1, 1, 4, 4), (32, 64, 128, 1, 1, 4, 4),
                    (32, 64, 128, 1, 1, 8, 4)],
        "down": [(32, 32, 128, 1, 4, 4, 4), (32, 32, 128, 1, 6, 4, 4), (32, 32, 128, 1, 3, 4, 5)],
        "head": [(32, 64, 128, 1, 1, 4, 4), (32, 64, 128, 1, 1, 2, 4)],
    },
}  # fmt: skip


def make_stream(residual: torch.Tensor, norm_weight: torch.Tensor, parts: int) -> Residual:
    squares = residual.float().square().unflatten(1, (parts, -1)).sum(2)
    weighted = (residual.float() * norm_weight.float()).to(DTYPE)
    return Residual(residual.clone(), weighted, squares)


def product_launcher(
    role: str, num_rows: int, tiles: Tiles, weights: list[torch.Tensor], options=PLAIN
):
    """A function that launches one product per weight matrix, one after the other."""
    columns, depth = ROLES[role]
    parts = HIDDEN // (tiles.n if role in ("o", "down") else 64)
    stream, norm = make_stream(randn(num_rows, HIDDEN), randn(HIDDEN), parts), randn(HIDDEN)
    if role in ("o", "down"):
        x = randn(num_rows, depth)
        scratch = SplitScratch.allocate(num_rows, HIDDEN, (tiles,), DEVICE)
        return lambda: [project_add(x, w, stream, scratch, tiles, options, norm) for w in weights]
    if role == "head":
        best = SampleScratch.allocate(num_rows, VOCAB, tiles, DEVICE)
        seeds = torch.arange(num_rows, device=DEVICE)
        temperatures = torch.full((num_rows,), 0.6, device=DEVICE)
        lengths = torch.full((num_rows,), 100, dtype=torch.int32, device=DEVICE)
        return lambda: [
            head(stream, w, best, seeds, temperatures, lengths, EPS, tiles, options)
            for w in weights
        ]
    function = norm_project if role == "qkv" else norm_gate_up
    out = randn(num_rows, columns if role == "qkv" else columns // 2)
    return lambda: [function(stream, w, out, EPS, tiles, options) for w in weights]


def run_product(num_rows: int, role: str, numbers: tuple[int, ...]) -> None:
    """Launch one candidate once."""
    for options in (PLAIN, OVERLAPPED):
        product_launcher(role, num_rows, Tiles(*numbers), [randn(*ROLES[role])], options)()


def run_attention(num_rows: int, block_size: int, tiles: DecodeTiles) -> None:
    """Launch one candidate once."""
    lengths = [9] * num_rows
    data = attention_data(lengths, block_size, 1)
    for options in (PLAIN, OVERLAPPED) if num_rows <= 32 else (PLAIN,):
        attention_launcher(lengths, block_size, tiles, 1, data, options)()


def run_step(num_rows: int, is_overlapped: bool) -> None:
    """Launch a step of one layer once."""
    decoder = make_decoder(make_weights(1), [9] * num_rows, is_overlapped)
    decoder.step(num_rows)
    decoder.step(num_rows, LIBRARY)


def quietly(function: Callable[..., object], *arguments: object) -> None:
    """In a worker process: leave the compiled kernels in Triton's cache for the main one."""
    with suppress(Exception):
        function(*arguments)
        torch.cuda.synchronize()


def compile_all(names: set[str]) -> None:
    """Compile what will be needed side by side: one after the other would take minutes."""
    begin = time.perf_counter()
    tasks: list[tuple] = []
    if "steps" in names:
        tasks += [(run_step, n, mode) for n in (128, 64, 32, 8) for mode in (True, False)]
    if "attention" in names:
        tasks += [
            (run_attention, len(lengths), block_size, tiles)
            for lengths in workloads().values()
            for block_size, candidates in attention_candidates(lengths).items()
            for tiles in candidates
        ]
    if "products" in names:
        tasks += [
            (run_product, num_rows, role, numbers)
            for num_rows, roles in CANDIDATES.items()
            for role, candidates in roles.items()
            for numbers in candidates
        ]
    num_workers = max(1, (os.cpu_count() or 2) - 2)
    with multiprocessing.get_context("spawn").Pool(num_workers) as pool:
        for result in [pool.apply_async(quietly, task) for task in tasks]:
            result.get(timeout=150)
    say(f"compiled in {time.perf_counter() - begin:.0f} s")


def measure_products(bandwidth: float) -> None:
    say("\n## Matrix products: us per launch\n")
    say("tiles: m, n, k, lanes, splits, warps, stages")
    for role, (columns, depth) in ROLES.items():
        size = 2 * columns * depth
        copies = 3 if role == "head" else LAYERS
        weights = [randn(columns, depth, scale=0.03) for _ in range(copies)]
        for num_rows, roles in CANDIDATES.items():
            x = randn(num_rows, depth)
            out = randn(num_rows, columns)
            library = microseconds(
                lambda x=x, out=out, ws=weights: [torch.mm(x, w.T, out=out) for w in ws], copies
            )
            at_copy = size / bandwidth
            say(
                f"\n{role}, {num_rows} rows: {at_copy:.1f} us at copy speed, torch {library:.1f} us"
            )
            results = []
            for tiles in (Tiles(*numbers) for numbers in roles[role]):
                with reported(f"{role} {num_rows} {tiles}"):
                    times = [
                        microseconds(
                            product_launcher(role, num_rows, tiles, weights, options), copies
                        )
                        for options in (PLAIN, OVERLAPPED)
                    ]
                    results.append((times, tiles))
            for (plain, overlapped), tiles in sorted(results, key=lambda pair: min(pair[0])):
                cut = tuple(vars(tiles).values())
                say(f"  {plain:8.2f} us, overlapped {overlapped:8.2f} us  {cut}")


def measure_steps(bandwidth: float) -> None:
    say("\n## A whole decode step, one CUDA graph: ms\n")
    say(f"{'rows':<20}{'floor':>8}{'plain':>10}{'overlapped':>12}{'library':>9}")
    weights = make_weights(LAYERS)
    weight_bytes = 2 * (LAYERS * sum(c * d for c, d in list(ROLES.values())[:4]) + VOCAB * HIDDEN)
    for name, lengths in workloads().items():

        def line(lengths: list[int] = lengths) -> str:
            kv_bytes = sum(lengths) * LAYERS * 4 * KV_HEADS * HEAD_DIM
            floor = (weight_bytes + kv_bytes) / bandwidth / 1000
            plain = make_decoder(weights, lengths, False)
            parts = (weights, plain.kv_cache, plain.inputs)
            overlapped, num_rows = FusedDecoder(*parts, is_overlapped=True), len(lengths)
            steps = [
                partial(plain.step, num_rows),
                partial(overlapped.step, num_rows),
                partial(overlapped.step, num_rows, LIBRARY),
            ]
            times = [microseconds(step, 1) / 1000 for step in steps]
            return f"{floor:8.3f}" + "".join(f"{t:10.3f}" for t in times)

        attempt_row(name, line)
        torch.cuda.empty_cache()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", default="copy,ops,attention,prefill,products,steps")
    arguments = parser.parse_args()
    names = set(arguments.only.split(","))
    torch.manual_seed(time.time_ns() % 2**31)
    say(f"# Kernels on {torch.cuda.get_device_name()}, {date.today()}")
    say(f"torch {torch.__version__}, triton {triton.__version__}")
    begin = time.perf_counter()
    bandwidth = copy_bandwidth() / 1e6  # bytes per microsecond
    say(f"copy {bandwidth / 1e6:.2f} TB/s (read and written)")
    parts: dict[str, Callable[[], None]] = {
        "steps": lambda: measure_steps(bandwidth),
        "ops": lambda: measure_ops(bandwidth),
        "attention": lambda: measure_attention(bandwidth),
        "prefill": measure_prefill,
        "products": lambda: measure_products(bandwidth),
    }
    if names - {"copy", "ops", "prefill"}:
        attempt("compile", lambda: compile_all(names))
    for name, part in parts.items():
        if name in names:
            attempt(name, part)
            say(f"\n[{name} done at {time.perf_counter() - begin:.0f} s]")
            if arguments.out:
                arguments.out.write_text("\n".join(_lines) + "\n")
    say(f"\nfailures: {', '.join(_failures) or 'none'}")
    if arguments.out:
        arguments.out.write_text("\n".join(_lines) + "\n")
    return bool(_failures)


if __name__ == "__main__":
    sys.exit(main())
