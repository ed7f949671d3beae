"""What a step costs a GPU, by what is in it: a chunk of a prompt, and rows that decode beside it.

    python benchmarks/mixed_steps.py              # Qwen3-0.6B's shape
    python benchmarks/mixed_steps.py --shape qwen3-4b   # that of Qwen3-4B

Random weights. A chunk of so many tokens alone, eagerly and from a graph; and
beside rows that decode, which ride along in the prefill graph or have a decode graph of their own.
Milliseconds between two events on the device, median of 15; launches of the host are in them where
the device waits for the host. `runners/parts.py` was written from the second table.
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from gpu_shapes import SOURCES, shape

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import BlockUpdate, Joined, Span, Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.loader import build_random_model
from nanovllm_edu.runners.build import build_runner, choose_ops
from nanovllm_edu.runners.cuda_graph import CudaGraphRunner
from nanovllm_edu.runners.eager import EagerRunner

MAX_ROWS, MAX_LEN, BLOCK_SIZE = 66, 8192, 256
CHUNKS = (64, 256, 512, 1024, 2048, 4096, 8192)
ROWS, CONTEXTS = (8, 32, 63), (256, 1024, 2048, 4096)


def make_runner(config: ModelConfig) -> CudaGraphRunner:
    device = torch.device("cuda")
    ops, why = choose_ops(device, torch.bfloat16)
    model = build_random_model(
        config, dtype=torch.bfloat16, device=device, ops=ops, max_model_len=MAX_LEN
    )
    config = EngineConfig(
        device="cuda", max_num_seqs=MAX_ROWS, max_model_len=MAX_LEN, block_size=BLOCK_SIZE,
        num_blocks=MAX_ROWS * MAX_LEN // BLOCK_SIZE // 2, max_num_batched_tokens=8192,
    )  # fmt: skip
    reasons = {"device": "benchmark", "dtype": "benchmark", "ops": why}
    runner, _ = build_runner(model, config, frozenset(), reasons)
    assert isinstance(runner, CudaGraphRunner)
    return runner


def join(runner: CudaGraphRunner) -> None:
    """Every row is taken, with blocks for half of the longest sequence; row 0 with all of them."""
    params = SamplingParams(temperature=0.6)
    tokens = (1,) * 8
    joined = [Joined(row, row, tokens, 8, params, row) for row in range(MAX_ROWS)]
    half = MAX_LEN // BLOCK_SIZE // 2
    blocks = [tuple(range(row * half, (row + 1) * half)) for row in range(MAX_ROWS)]
    blocks[0] = (*blocks[0], *blocks[1])
    updates = [BlockUpdate(0, row, 0, blocks[row]) for row in range(MAX_ROWS)]
    assert runner.tables is not None
    plan = StepPlan(0, joined=tuple(joined), block_updates=tuple(updates))
    runner.tables.take_in(plan)


def milliseconds(work: Callable[[], object], repeats: int = 15) -> float:
    times = []
    for _ in range(repeats + 2):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times[2:])


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SOURCES, default="qwen3-0.6b")
    runner = make_runner(shape(parser.parse_args().shape))
    join(runner)
    graphs, prefill = runner._graphs, runner._prefill
    assert graphs is not None
    assert prefill is not None
    print("| tokens of a prompt | eagerly | graph | us a token |\n|---:|---:|---:|---:|")
    for size in CHUNKS:
        plan = StepPlan(0, Spans([Span(0, 0, 0, size)]))
        eager = milliseconds(lambda plan=plan: EagerRunner.launch(runner, plan), 5)
        replayed = milliseconds(lambda plan=plan: prefill.replay(plan.spans))
        print(f"| {size} | {eager:.2f} | {replayed:.2f} | {1e3 * replayed / size:.2f} |")
    print("\n| rows | context | chunk | alone | riding along | apart: decode graph |")
    print("|---:|---:|---:|---:|---:|---:|")
    for chunk in (500, 2000):
        alone = milliseconds(lambda n=chunk: prefill.replay(Spans([Span(0, 0, 0, n)])))
        for rows in ROWS:
            for context in CONTEXTS:
                decodes = [Span(row, row, context - 1, 1) for row in range(2, rows + 2)]
                both = Spans([*decodes, Span(0, 0, 0, chunk)])
                riding = milliseconds(lambda both=both: prefill.replay(both))
                graphs.inputs.forget()
                graphs.inputs.update(Spans(decodes))
                graph = graphs.sampled(graphs.size_for(rows))
                assert graph is not None
                replay = graph.replay
                apart = milliseconds(replay, 5)
                print(
                    f"| {rows} | {context} | {chunk} | {alone:.2f} | {riding:.2f} | +{apart:.2f} |"
                )


if __name__ == "__main__":
    main()
