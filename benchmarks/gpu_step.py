"""A decode step of Qwen3-0.6B's shape on a GPU, all of it random: what other benchmarks measure.

Used by `gpu_kernels.py` and `hopper_tiles.py`.
"""

from collections.abc import Callable

import torch

from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.decoder import FusedDecoder
from nanovllm_edu.fused_decode.weights import LayerWeights, ModelWeights
from nanovllm_edu.layers.rotary import rotary_table
from nanovllm_edu.paged.kv_cache import KVCache

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE, VOCAB, LAYERS = 1024, 16, 8, 128, 3072, 151_936, 28
EPS, DTYPE, DEVICE = 1e-6, torch.bfloat16, torch.device("cuda")
QKV = (HEADS + 2 * KV_HEADS) * HEAD_DIM
ROLES = {  # columns, depth
    "qkv": (QKV, HIDDEN),
    "o": (HIDDEN, HEADS * HEAD_DIM),
    "gate_up": (2 * INTERMEDIATE, HIDDEN),
    "down": (HIDDEN, INTERMEDIATE),
    "head": (VOCAB, HIDDEN),
}


def microseconds(launch: Callable[[], None], launches: int, replays: int = 15) -> float:
    """Median time per launch of a CUDA graph that holds `launches` of them."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        launch()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        launch()
    times = []
    for _ in range(replays + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1000)
    return sorted(times[3:])[replays // 2] / launches


def randn(*shape: int, scale: float = 1.0, dtype: torch.dtype = DTYPE) -> torch.Tensor:
    return (torch.randn(*shape, device=DEVICE) * scale).to(dtype)


def angles(length: int = 8192) -> torch.Tensor:
    parameters = {"rope_type": "default", "rope_theta": 1e6}
    return rotary_table(HEAD_DIM, parameters, length).to(DEVICE)


def scattered(lengths: list[int], block_size: int, layers: int = 1):
    """A cache with room for `lengths` and 64 tokens more, and tables of scattered blocks."""
    columns = -(-(max(lengths) + 64) // block_size)
    needed = [-(-(length + 64) // block_size) for length in lengths]
    ids = torch.randperm(sum(needed)).int()
    tables = torch.full((len(lengths) + 1, columns), sum(needed), dtype=torch.int32)
    for row, part in enumerate(ids.split(needed)):
        tables[row, : len(part)] = part
    shape = (layers, 2, sum(needed) + 1, block_size, KV_HEADS, HEAD_DIM)
    cache = torch.empty(shape, dtype=DTYPE, device=DEVICE)
    for layer in cache:
        layer.normal_()
    no_host = torch.empty((layers, 2, 0, *shape[3:]), dtype=DTYPE)
    return KVCache(cache, no_host), tables.to(DEVICE)


def make_inputs(num_rows, max_len, lengths, seeds, temperatures, tables=None) -> DecodeInputs:
    return DecodeInputs(
        token_table=torch.randint(0, VOCAB, (num_rows + 1, max_len + 1), device=DEVICE),
        block_tables=tables,
        table_rows=torch.arange(num_rows, device=DEVICE),
        context_lens=lengths,
        advances=torch.ones(num_rows, dtype=torch.int32, device=DEVICE),
        seeds=seeds,
        temperatures=temperatures,
        top_ks=torch.full((num_rows,), 50, dtype=torch.int32, device=DEVICE),
        top_ps=torch.full((num_rows,), 0.9, device=DEVICE),
        min_ps=torch.zeros(num_rows, device=DEVICE),
        sampled=torch.zeros(num_rows, dtype=torch.int64, device=DEVICE),
    )


def make_weights(layers: int) -> ModelWeights:
    def layer() -> LayerWeights:
        return LayerWeights(
            qkv=randn(QKV, HIDDEN, scale=0.03),
            qkv_bias=None,
            q_norm=1 + randn(HEAD_DIM, scale=0.1),
            k_norm=1 + randn(HEAD_DIM, scale=0.1),
            o=randn(HIDDEN, HEADS * HEAD_DIM, scale=0.02),
            gate_up=randn(2 * INTERMEDIATE, HIDDEN, scale=0.03),
            down=randn(HIDDEN, INTERMEDIATE, scale=0.02),
        )

    embedding = randn(VOCAB, HIDDEN, scale=0.1)
    stack = tuple(layer() for _ in range(layers))
    norm = 1 + randn(HIDDEN, scale=0.1)
    return ModelWeights(embedding, stack, norm, embedding, angles(), HEADS, KV_HEADS, HEAD_DIM, EPS)


def make_decoder(weights, lengths: list[int], is_overlapped: bool, block_size: int = 256):
    num_rows = len(lengths)
    cache, tables = scattered(lengths, block_size, len(weights.layers))
    inputs = make_inputs(
        num_rows,
        max(lengths) + 64,
        torch.tensor(lengths, dtype=torch.int32, device=DEVICE),
        torch.arange(num_rows, device=DEVICE),
        torch.full((num_rows,), 0.6, device=DEVICE),
        tables,
    )
    return FusedDecoder(weights, cache, inputs, is_overlapped=is_overlapped)
