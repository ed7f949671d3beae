"""Tries GEMMs out on the device, and keeps what was chosen in the cache folder.

A candidate is timed where it will work: in a CUDA graph of a few whole layers, because there it
also pays for the room that it takes from its neighbours, and gains what overlaps. So few layers
that it takes milliseconds, and so many that their weights do not stay in the L2 cache. A rank tries
its part of them alone: with the sums in, all ranks would have to try the same at the same time.

Read next: `runners/cuda_graph.py`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from math import inf
from pathlib import Path
from statistics import median

import torch
import triton
import xxhash
from tqdm import tqdm
from triton.runtime.errors import OutOfResources

from nanovllm_edu.fused_decode import gemm_candidates
from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.decoder import FusedDecoder
from nanovllm_edu.fused_decode.gemm_candidates import candidates
from nanovllm_edu.fused_decode.gemm_choice import (
    UnreadablePlansError,
    choose,
    from_json,
    made_by,
    options_for,
    to_json,
)
from nanovllm_edu.fused_decode.gemm_plan import BUCKETS, LIBRARY, GemmPlan, GemmPlans
from nanovllm_edu.fused_decode.layer_gemms import Launch
from nanovllm_edu.kernels.compiling import do_side_by_side
from nanovllm_edu.kernels.hopper import few_rows, gemm
from nanovllm_edu.kernels.hopper.few_rows import FewRowsTiles
from nanovllm_edu.kernels.hopper.gemm import HopperTiles
from nanovllm_edu.kernels.triton.gemm import Tiles
from nanovllm_edu.native.library import CompileError, cache_folder
from nanovllm_edu.paged.kv_cache import KVCache

BYTES_OF_LAYERS = 128e6
"""More than twice the L2 cache of a GPU."""
REPLAYS = 7


def find_plans(decoder: FusedDecoder, meanwhile: Sequence[Launch] = ()) -> GemmPlans:
    """The plans of a decoder's shape on this GPU: from their file, or else tried out and kept.

    Args:
        decoder: Whose GEMMs they are.
        meanwhile: Work that has other kernels compiled, while the candidates are.
    """
    try:
        file = cache_folder() / f"gemms-{_key_of(decoder)}.json"
        plans = from_json(file.read_text(), decoder.layer, decoder.has_hopper)
        return GemmPlans(plans, f"were tried out before: {file}")
    except CompileError as error:
        plans = _try_out(decoder, meanwhile)
        return GemmPlans(plans, f"were tried out, which is not kept: {error}")
    except (OSError, UnreadablePlansError):  # there is none yet, or none that is of use
        plans = _try_out(decoder, meanwhile)
    try:
        _keep(file, to_json(plans))
    except OSError as error:
        return GemmPlans(plans, f"were tried out, which is not kept: {error}")
    return GemmPlans(plans, f"were tried out, which is kept: {file}")


def _try_out(decoder: FusedDecoder, meanwhile: Sequence[Launch]) -> dict[int, GemmPlan]:
    decoder = first_layers(decoder)
    # The slowest first: what is in Triton takes seconds, and its compilers share Python's lock.
    work = [*meanwhile, *_steps(decoder), *_in_cuda(decoder)]
    do_side_by_side(work, decoder.weights.embedding.device)
    with tqdm(desc="Trying GEMMs out", total=len(BUCKETS), delay=1) as bar:
        trial = Trial(decoder, bar.update)
        return choose(decoder.layer, decoder.has_hopper, trial.seconds)


def _key_of(decoder: FusedDecoder) -> str:
    """What a choice depends on: the GPU, the shape, the dtype, and what makes the kernels."""
    device = decoder.weights.embedding.device
    kernels = few_rows.__file__, gemm.__file__
    sources = [Path(file).with_suffix(".cu") for file in kernels] + [Path(gemm_candidates.__file__)]
    parts = (
        torch.cuda.get_device_name(device),
        torch.cuda.get_device_capability(device),
        decoder.weights.embedding.dtype,
        asdict(decoder.layer),
        torch.__version__,
        triton.__version__,
        *(path.read_text() for path in sources),
    )
    return xxhash.xxh3_64_hexdigest(repr(parts).encode())


def _keep(file: Path, text: str) -> None:
    """All of it or nothing, whoever else starts at the same time."""
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_text(text)
    part.replace(file)


def _in_cuda(decoder: FusedDecoder) -> list[Launch]:
    """Compiles what will be tried in CUDA C++."""
    device = decoder.weights.embedding.device
    compilers = {FewRowsTiles: few_rows.compiled, HopperTiles: gemm.compiled}
    work = {
        (shape.kind, shape.depth, shape.num_columns, tiles, device.index)
        for _, shape in decoder.layer.named()
        for num_rows in BUCKETS
        for tiles in candidates(shape, num_rows, decoder.has_hopper)
        if type(tiles) in compilers
    }
    return [partial(compilers[type(arguments[3])], *arguments) for arguments in work]


def _steps(decoder: FusedDecoder) -> list[Launch]:
    """Steps that have compiled what will be tried in Triton, and what else a step needs."""
    plans = [(max(BUCKETS), LIBRARY)]
    for num_rows, maker in product(BUCKETS, (Tiles, FewRowsTiles, HopperTiles)):
        made = made_by(maker, options_for(decoder.layer, num_rows, decoder.has_hopper))
        if not all(made.values()):
            continue
        for place in range(max(map(len, made.values())) if maker is Tiles else 1):
            cuts = {name: found[min(place, len(found) - 1)] for name, found in made.items()}
            plans.append((num_rows, GemmPlan(**cuts)))
    return [partial(first_layers(decoder, 1).step, *one) for one in plans]


class Trial:
    """Times the layers of a step; remembers what it has timed.

    Args:
        decoder: Of few layers.
        next_bucket: Called when the first plan of another number of rows is timed.
    """

    def __init__(
        self, decoder: FusedDecoder, next_bucket: Callable[[], object] = lambda: None
    ) -> None:
        self._decoder = decoder
        self._next_bucket = next_bucket
        self._seconds: dict[tuple[int, GemmPlan], float] = {}
        self._buckets = set[int]()

    def seconds(self, num_rows: int, plan: GemmPlan) -> float:
        """What the layers take with a plan: the median of several replays."""
        if num_rows not in self._buckets:
            self._buckets.add(num_rows)
            self._next_bucket()
        key = num_rows, plan
        if key not in self._seconds:
            try:
                self._seconds[key] = self._time(self._decoder.layers_of(num_rows, plan))
            except OutOfResources:  # a smaller GPU: not everything can be cut so
                self._seconds[key] = inf
        return self._seconds[key]

    def _time(self, launch: Launch) -> float:
        launch()  # compiles what Triton makes
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launch()
        times = [_milliseconds(graph.replay) for _ in range(REPLAYS + 1)]
        return median(times[1:]) / 1e3


def _milliseconds(work: Launch) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def first_layers(decoder: FusedDecoder, count: int | None = None) -> FusedDecoder:
    """A decoder of a few layers, with rows enough for every bucket.

    Args:
        decoder: Of all layers.
        count: How many; by default as few as do not fit into a cache.
    """
    weights, cache = decoder.weights, decoder.kv_cache
    if count is None:
        layer_bytes = sum(shape.weight_bytes for _, shape in decoder.layer.named())
        count = min(len(weights.layers), max(4, -(-int(BYTES_OF_LAYERS) // layer_bytes)))
    return FusedDecoder(
        replace(weights, layers=weights.layers[:count], shared=None),
        KVCache(cache.data[:count], cache.host[:count]),
        padding(max(BUCKETS), cache),
    )


def padding(num_rows: int, cache: KVCache) -> DecodeInputs:
    """Rows of one token, all of which store their keys and values in the scratch block."""
    device = cache.data.device
    longs = torch.zeros(num_rows, dtype=torch.int64, device=device)
    ints, floats = longs.int(), longs.float()
    return DecodeInputs(
        token_table=torch.zeros(1, 2, dtype=torch.int64, device=device),
        block_tables=torch.full((1, 1), cache.scratch_block, dtype=torch.int32, device=device),
        table_rows=longs,
        context_lens=ints + 1,
        advances=ints,
        seeds=longs,
        temperatures=floats,
        top_ks=ints,
        top_ps=floats + 1,
        min_ps=floats,
        sampled=longs.clone(),
    )
