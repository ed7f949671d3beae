"""Two GPUs against one: what do they gain, and from which size on?

    python benchmarks/tensor_parallel.py                    # Qwen3-8B's shape, then 0.6B's
    python benchmarks/tensor_parallel.py --shapes 0.6B --ranks 2
    python benchmarks/tensor_parallel.py --quick            # CPU processes, the model in the box

Random weights, default options. The floor of a decode step is the time in which each GPU streams
its part of the weights and of the live keys and values at the copy bandwidth measured here; sums
come on top, and `peer_sums.py` says what one takes. Results go to
`benchmarks/results/tensor_parallel.json` and `.md`.
"""

import argparse
import gc
import json
import random
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import torch
from gpu import copy_bandwidth, workload
from peer_sums import measure_sums
from rich.console import Console
from rich.table import Table
from safetensors.torch import save

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.limits import with_own
from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from nanovllm_edu.models.registry import read_config
from nanovllm_edu.runners.load import load_runner
from nanovllm_edu.runners.tensor_parallel import TensorParallelRunner

SHAPES: dict[str, dict[str, Any]] = {
    "8B": {
        "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
        "intermediate_size": 12288, "tie_word_embeddings": False,
    },
    "0.6B": {
        "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
        "intermediate_size": 3072, "tie_word_embeddings": True,
    },
}  # fmt: skip
COMMON: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 151_936,
    "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40_960,
    "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0, "hidden_act": "silu",
    "attention_bias": False, "torch_dtype": "bfloat16",
}  # fmt: skip
PUBLISHED = {  # 8B's shape on two H200, with the tools named
    "vLLM 0.24": {"workload": 9.34, 1: 3.77, 8: 3.93, 32: 4.21, 128: 5.55},
    "nano-vllm": {"workload": 12.9},
    "target": {"workload": 7.4, 1: 2.5, 8: 2.6, 32: 2.9, 128: 3.9},
}
# ---------------------------------------------------------------------------------- a checkpoint


def save_random(folder: Path, shape: dict[str, Any]) -> None:
    """Writes a model of a shape. All its layers are alike, which no step can see."""
    (folder / "config.json").write_text(json.dumps(COMMON | shape))
    hidden, width, dim = shape["hidden_size"], shape["intermediate_size"], COMMON["head_dim"]
    q, kv = shape["num_attention_heads"] * dim, COMMON["num_key_value_heads"] * dim
    attention = {
        "q_proj": (q, hidden), "k_proj": (kv, hidden), "v_proj": (kv, hidden),
        "o_proj": (hidden, q), "q_norm": (dim,), "k_norm": (dim,),
    }  # fmt: skip
    mlp = {"gate_proj": (width, hidden), "up_proj": (width, hidden), "down_proj": (hidden, width)}
    names = {f"self_attn.{name}": size for name, size in attention.items()}
    names |= {f"mlp.{name}": size for name, size in mlp.items()}
    names |= {"input_layernorm": (hidden,), "post_attention_layernorm": (hidden,)}
    layer = {name: _random(*size) for name, size in names.items()}
    table = _random(COMMON["vocab_size"], hidden)
    rest = {"model.embed_tokens.weight": table, "model.norm.weight": torch.ones(hidden)}
    if not shape["tie_word_embeddings"]:
        rest["lm_head.weight"] = table.clone()
    index = dict.fromkeys(rest, "rest.safetensors")
    (folder / "rest.safetensors").write_bytes(save({n: t.bfloat16() for n, t in rest.items()}))

    def save_layer(number: int) -> None:
        tensors = {f"model.layers.{number}.{name}.weight": t for name, t in layer.items()}
        index.update(dict.fromkeys(tensors, f"layer{number}.safetensors"))
        (folder / f"layer{number}.safetensors").write_bytes(save(tensors))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(save_layer, range(shape["num_hidden_layers"])))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def _random(*size: int) -> torch.Tensor:
    if len(size) == 1:
        return torch.ones(size, dtype=torch.bfloat16)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return (torch.randn(size, device=device) * 0.02).bfloat16().cpu()


# ---------------------------------------------------------------------------------- an engine


class Bench:
    """An engine of so many ranks, and what is measured on it."""

    def __init__(self, folder: Path, num_ranks: int, options: dict[str, Any], depth: int) -> None:
        self.depth = depth
        config = EngineConfig(tensor_parallel_size=num_ranks, **options)
        begin = time.perf_counter()
        if num_ranks == 1:
            runner, config, info = load_runner(folder, config, options, frozenset())
            self.choices = info.choices
        else:
            runner = TensorParallelRunner(folder, config, options, frozenset())
            config, self.choices = with_own(config, runner, options), runner.choices
        self.start_seconds = time.perf_counter() - begin
        self.engine = LLMEngine(runner, config)

    def close(self) -> None:
        self.engine.close()
        del self.engine
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def workload(self, prompts: list[list[int]], lengths: list[int]) -> float:
        """Seconds."""
        self.engine.scheduler.block_manager.reset_prefix_cache()
        gc.collect()
        begin = time.perf_counter()
        for prompt, length in zip(prompts, lengths, strict=True):
            params = SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=length)
            self.engine.add_request(prompt, params)
        records = self.engine.run(depth=self.depth)
        num_tokens = sum(sum(map(len, record.new_tokens.values())) for record in records)
        assert num_tokens == sum(lengths)
        return time.perf_counter() - begin

    def decode(self, batch_size: int, context: int, num_steps: int) -> dict[str, float]:
        """Milliseconds of a decode step, and how much of it rank 0 spends in sums."""
        vocabulary = min(10_000, self.engine.runner.vocab_size)
        prompts = [
            [random.randrange(vocabulary) for _ in range(context)] for _ in range(batch_size)
        ]
        params = SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=num_steps + 1)
        runs, sums = [], []
        for _ in range(2):
            self.engine.scheduler.block_manager.reset_prefix_cache()
            for prompt in prompts:
                self.engine.add_request(prompt, params)
            times = []
            for record in self.engine.run(depth=self.depth):
                if len(record.new_tokens) == batch_size:
                    times.append(time.perf_counter())
                    sums += [one["all-reduce"] for one in record.rank_timings[:1]]
            runs.append((times[-1] - times[8]) / (len(times) - 9) * 1e3)
        found = {"ms": min(runs)}
        return found | ({"sums_ms": statistics.median(sums) * 1e3} if sums else {})


def floor_ms(folder: Path, num_ranks: int, tokens_in_cache: float, bandwidth: float) -> float:
    """Milliseconds in which a GPU streams its part once. (An embedding is read in a few rows.)"""
    shape = read_config(folder)
    head = shape.vocab_size * shape.hidden_size
    weights = shape.num_parameters - (0 if shape.tie_word_embeddings else head)
    kv = 2 * shape.num_layers * shape.num_kv_heads * shape.head_dim
    return 2 * (weights + tokens_in_cache * kv) / num_ranks / bandwidth * 1e3


# ---------------------------------------------------------------------------------- all together


def measure(folder: Path, num_ranks: int, args: argparse.Namespace) -> dict[str, Any]:
    """The workload and decode steps with so many ranks."""
    options: dict[str, Any] = {"max_model_len": 4096}
    prompts, lengths = workload()
    batches, context, num_steps, depth = (1, 8, 32, 128), 128, 256, 1
    if args.quick:
        options = {"num_blocks": 400, "block_size": 16, "max_model_len": 256, "device": "cpu"}
        prompts, lengths = [[5 + i] * 40 for i in range(8)], [24] * 8
        batches, context, num_steps, depth = (1, 8), 32, 24, 0
    bench = Bench(folder, num_ranks, options, depth)
    found: dict[str, Any] = {"start_seconds": bench.start_seconds, "choices": bench.choices}
    bench.workload(prompts, [4] * len(prompts))
    found["decode"] = {batch: bench.decode(batch, context, num_steps) for batch in batches}
    bandwidth = args.bandwidth
    for batch, one in found["decode"].items():
        if bandwidth:
            held = batch * (context + num_steps / 2)
            one["floor_ms"] = floor_ms(folder, num_ranks, held, bandwidth)
    if "workload" in args.sections:
        found["workload"] = min(bench.workload(prompts, lengths) for _ in range(args.repeats))
    bench.close()
    print(json.dumps({f"{num_ranks} ranks": found}), flush=True)
    return found


def show(results: dict[str, Any], num_ranks: int, console: Console) -> None:
    """One against several, beside published figures."""
    for name, found in results["shapes"].items():
        one, several = found.get("1"), found.get(str(num_ranks))
        if not one or not several:
            continue
        table = Table(title=f"{name}: one process and {num_ranks}", title_justify="left")
        for column in ("what", "one", "floor", f"{num_ranks}", "floor", "in sums", "gain",
                       *(PUBLISHED if name == "8B" else ())):  # fmt: skip
            table.add_column(column, justify="left" if column == "what" else "right")
        for batch, ours in several["decode"].items():
            alone = one["decode"][batch]
            known = [str(PUBLISHED[who].get(int(batch), "")) for who in PUBLISHED]
            table.add_row(
                f"decode step, batch {batch}, ms", f"{alone['ms']:.2f}",
                f"{alone.get('floor_ms', 0):.2f}", f"{ours['ms']:.2f}",
                f"{ours.get('floor_ms', 0):.2f}", f"{ours.get('sums_ms', 0):.2f}",
                f"{alone['ms'] / ours['ms']:.2f}", *(known if name == "8B" else ()),
            )  # fmt: skip
        if "workload" in several and "workload" in one:
            known = [str(PUBLISHED[who].get("workload", "")) for who in PUBLISHED]
            a, b = one["workload"], several["workload"]
            table.add_row("workload, s", f"{a:.2f}", "", f"{b:.2f}", "", "", f"{a / b:.2f}",
                          *(known if name == "8B" else ()))  # fmt: skip
        console.print(table)
    if results.get("sums"):
        console.print("One sum of rows of 4096 bfloat16 numbers, microseconds:", results["sums"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--layers", type=int, help="fewer than the shape has, for a try")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of ranks to measure")
    parser.add_argument("--sections", nargs="*", default=["sums", "workload"])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    has_gpus = not args.quick and torch.cuda.device_count() >= args.ranks
    if not has_gpus and not args.quick:
        raise SystemExit(f"there are not {args.ranks} GPUs here; --quick runs on CPUs")
    args.bandwidth = copy_bandwidth() if has_gpus else 0.0
    results: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": torch.cuda.get_device_name() if has_gpus else "CPU processes",
        "copy_bandwidth_tb_s": args.bandwidth / 1e12,
        "sums": measure_sums(args.ranks) if has_gpus and "sums" in args.sections else {},
        "shapes": {},
    }
    print(json.dumps(results), flush=True)
    numbers = args.only or [args.ranks, 1]
    if args.quick:
        results["shapes"]["the model in the box"] = {
            str(n): measure(TINY_MODEL_FOLDER, n, args) for n in numbers
        }
    for name in [] if args.quick else args.shapes:
        shape = SHAPES[name]
        if args.layers:
            shape = shape | {"num_hidden_layers": args.layers}
        root = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
        folder = Path(tempfile.mkdtemp(dir=root))
        try:
            begin = time.perf_counter()
            save_random(folder, shape)
            print(f"{name} saved in {time.perf_counter() - begin:.1f} s", flush=True)
            results["shapes"][name] = {str(n): measure(folder, n, args) for n in numbers}
        finally:
            shutil.rmtree(folder)
    args.out.mkdir(parents=True, exist_ok=True)
    console = Console(record=True, width=130)
    results = json.loads(json.dumps(results))
    (args.out / "tensor_parallel.json").write_text(json.dumps(results, indent=1) + "\n")
    show(results, args.ranks, console)
    title = "# Tensor parallelism\n\n```text\n"
    (args.out / "tensor_parallel.md").write_text(title + console.export_text() + "```\n")


if __name__ == "__main__":
    main()
