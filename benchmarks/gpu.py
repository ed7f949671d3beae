"""How fast is the engine on this GPU, and how far from what its memory allows?

    python benchmarks/gpu.py                          # every section, Qwen3-0.6B's shape
    python benchmarks/gpu.py --shape qwen3-8b --sections main small
    python benchmarks/gpu.py --nano-vllm PATH         # the same workload on a checkout of nano-vllm

Random weights, default options; other options are named in the results. The floor of a decode step
is the time to stream every weight once and every live sequence's keys and values once, at the copy
bandwidth that this very run measures. Results go to `benchmarks/results/gpu.json` and `gpu.md`;
other shapes have files of their own. What others take is from one H200, measured there one after
the other; a host counts too, so compare orders of magnitude.
"""

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from gpu_shapes import SOURCES, shape
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.models.loader import build_random_model
from nanovllm_edu.runners.build import build_runner, choose_ops
from nanovllm_edu.runners.defaults import device_defaults

SECTIONS = ("main", "small", "prefill", "long", "prefix", "records")
BATCHES = (1, 8, 32, 128)


OTHERS = {  # shape -> section -> who -> measured, or to be reached; for each of BATCHES
    "qwen3-0.6b": {
        "main": {"goal": 4.3, "vLLM": 5.73, "nano-vllm": 7.23},
        "small": {
            "goal": [0.75, 0.80, 1.0, 1.9],
            "vLLM": [1.76, 2.65, 3.20, 3.90],
            "nano-vllm": [2.16, 2.06, 2.14, 3.50],
        },
        "prefill": {"goal": 0.30, "vLLM": 0.37, "nano-vllm": 0.39},
        "long": {"goal": 2.2, "vLLM": 2.66},
        "prefix": {"goal": 0.06, "vLLM": 0.165, "nano-vllm": 0.066},
    },
    "qwen3-4b": {
        "main": {"goal": 8.9, "vLLM": 11.0, "nano-vllm": 12.3},
        "small": {
            "goal": [2.3, 2.4, 2.8, 4.1],
            "vLLM": [3.6, 3.8, 4.2, 6.0],
            "nano-vllm": [4.3, 4.3, 4.4, 6.1],
        },
    },
    "qwen3-8b": {
        "main": {"goal": 12.4, "vLLM": 14.7},
        "small": {"goal": [4.2, 4.3, 4.7, 6.3], "vLLM": [5.2, 5.5, 5.8, 7.8]},
    },
    "llama-3.2-1b": {
        "main": {"goal": 2.3, "vLLM": 3.75},
        "small": {
            "goal": [0.70, 0.75, 0.85, 1.25],
            "vLLM": [1.39, 1.53, 1.85, 2.86],
        },
    },
    "qwen2.5-1.5b": {"main": {}, "small": {}, "long": {}},  # nothing was tuned on it
}


def workload() -> tuple[list[list[int]], list[int]]:
    """256 prompts of 100-1024 tokens and 256 output lengths of 100-1024: 133,966 output tokens."""
    random.seed(0)
    prompts = [
        [random.randint(0, 10_000) for _ in range(random.randint(100, 1024))] for _ in range(256)
    ]
    return prompts, [random.randint(100, 1024) for _ in range(256)]


def copy_bandwidth() -> float:
    """Bytes per second, read plus written, of a 4 GiB device copy: the median of 20."""
    source = torch.empty(2**32, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    seconds = []
    for _ in range(23):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    return 2 * source.numel() / statistics.median(seconds[3:])


class Bench:
    """One engine, and the sections measured on it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.shape = shape(args.shape)
        device = torch.device("cuda")
        self.bandwidth = copy_bandwidth()
        ops, why = choose_ops(device, torch.bfloat16)
        model = build_random_model(
            self.shape, dtype=torch.bfloat16, device=device, ops=ops, max_model_len=20_000
        )
        self.weight_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
        self.kv_bytes_per_token = (
            2 * self.shape.num_layers * self.shape.num_kv_heads * self.shape.head_dim * 2
        )
        self.options = {
            name: value for name, (value, _) in device_defaults(device, self.shape).items()
        }
        self.options |= args.options
        self.config = EngineConfig(max_model_len=20_000, **self.options)
        begin = time.perf_counter()
        reasons = {"device": "benchmark", "dtype": "benchmark", "ops": why}
        runner, self.info = build_runner(model, self.config, frozenset(), reasons)
        self.start_seconds = time.perf_counter() - begin
        self.engine = LLMEngine(runner, self.config)
        self.repeats = args.repeats
        self._warm_up()

    def _warm_up(self) -> None:
        for length in (8, 600):
            self._generate([[length] * length] * 4, [16] * 4)
        prompts, _ = workload()
        self._generate(prompts, [4] * len(prompts))
        gc.collect()
        gc.freeze()  # as servers do: what is here now stays, no need to look through it again

    def _generate(self, prompts: list[list[int]], lengths: list[int], *, keep: bool = False):
        """Runs requests to their end. Returns (seconds, floor seconds, step records kept)."""
        self.engine.scheduler.block_manager.reset_prefix_cache()
        return self._run(prompts, lengths, keep=keep)

    def _run(self, prompts: list[list[int]], lengths: list[int], *, keep: bool = False):
        gc.collect()  # the prompts' lists are new: let it not walk through them during the run
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for prompt, length in zip(prompts, lengths, strict=True):
            params = SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=length)
            self.engine.add_request(prompt, params)
        records = []
        num_tokens = 0
        for record in self.engine.run(depth=1):
            num_tokens += sum(map(len, record.new_tokens.values()))
            if keep:
                records.append(record)
        seconds = time.perf_counter() - begin
        assert num_tokens == sum(lengths), (num_tokens, sum(lengths))
        return seconds, records

    def _floor(self, prompts: list[list[int]], lengths: list[int]) -> float:
        """Seconds to stream weights and live KV at the copy bandwidth, summed over decode steps."""
        num_bytes = 0
        for step in range(1, max(lengths)):
            live = [len(p) + step for p, n in zip(prompts, lengths, strict=True) if n > step]
            num_bytes += self.weight_bytes + sum(live) * self.kv_bytes_per_token
        return num_bytes / self.bandwidth

    def main(self) -> dict:
        """The well-known workload of nano-vllm's benchmark."""
        prompts, lengths = workload()
        runs = [self._generate(prompts, lengths)[0] for _ in range(self.repeats)]
        seconds, floor = statistics.median(runs), self._floor(prompts, lengths)
        return {
            "runs": runs,
            "seconds": seconds,
            "tokens_per_second": sum(lengths) / seconds,
            "floor_seconds": floor,
            "floor_fraction": floor / seconds,
        }

    def small(self) -> dict:
        """Milliseconds per decode step of small batches, context 128 to 384."""
        result = {}
        for batch_size in BATCHES:
            prompts = [[random.randrange(10_000) for _ in range(128)] for _ in range(batch_size)]
            runs = []
            for _ in range(self.repeats + 1):
                self.engine.scheduler.block_manager.reset_prefix_cache()
                for prompt in prompts:
                    params = SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=257)
                    self.engine.add_request(prompt, params)
                times = []
                for record in self.engine.run(depth=1):
                    if len(record.new_tokens) == batch_size:
                        times.append(time.perf_counter())
                runs.append((times[-1] - times[8]) / (len(times) - 9) * 1e3)
            contexts = [128 + step for step in range(256)]
            kv = statistics.mean(contexts) * batch_size * self.kv_bytes_per_token
            floor = (self.weight_bytes + kv) / self.bandwidth * 1e3
            result[batch_size] = {"ms": statistics.median(runs[1:]), "floor_ms": floor}
        return result

    def prefill(self) -> dict:
        """First token of all 256 prompts of the workload."""
        prompts, _ = workload()
        runs = [self._generate(prompts, [1] * 256)[0] for _ in range(self.repeats + 1)]
        return {
            "seconds": statistics.median(runs[1:]),
            "runs": runs,
            "tokens": sum(map(len, prompts)),
        }

    def long(self) -> dict:
        """First token of 32 prompts of 16,384 tokens."""
        random.seed(0)
        prompts = [[random.randrange(10_000) for _ in range(16_384)] for _ in range(32)]
        runs = [self._generate(prompts, [1] * 32)[0] for _ in range(2)]
        return {"seconds": runs[-1], "runs": runs, "tokens": sum(map(len, prompts))}

    def prefix(self) -> dict:
        """First token of 256 requests that share a warm prefix of 1,024 tokens."""
        runs = []
        for repeat in range(self.repeats + 1):
            random.seed(repeat)
            shared = [random.randrange(10_000) for _ in range(1024)]
            tails = [[random.randrange(10_000) for _ in range(32)] for _ in range(256)]
            self._generate([[*shared, 1]], [1])
            runs.append(self._run([shared + tail for tail in tails], [1] * 256)[0])
        return {"seconds": statistics.median(runs[1:]), "runs": runs}

    def records(self) -> dict:
        """What keeping every StepRecord costs, alternating with not keeping them."""
        prompts, lengths = workload()
        kept, dropped = [], []
        for _ in range(self.repeats):
            dropped.append(self._generate(prompts, lengths)[0])
            kept.append(self._generate(prompts, lengths, keep=True)[0])
        ratio = statistics.median(kept) / statistics.median(dropped)
        return {"kept": kept, "dropped": dropped, "cost": ratio - 1}


NANO_SCRIPT = """
import json, random, sys, time, statistics, torch
sys.path[:0] = [sys.argv[1], sys.argv[3]]
from nanovllm import LLM, SamplingParams
from gpu import workload
if __name__ == "__main__":
    llm = LLM(sys.argv[2], enforce_eager=False, max_model_len=4096)
    prompts, lengths = workload()
    params = [SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=n) for n in lengths]
    llm.generate([[1] * 8], SamplingParams(), use_tqdm=False)
    runs, prefills = [], []
    for i in range(int(sys.argv[4])):
        shifted = [[(t + 11 * (i + 1)) % 10000 for t in p] for p in prompts]  # no prefix hits
        begin = time.perf_counter()
        llm.generate(shifted, params, use_tqdm=False)
        runs.append(time.perf_counter() - begin)
    print("RESULT " + json.dumps({"runs": runs, "seconds": statistics.median(runs)}))
"""


def nano_vllm(checkout: Path, repeats: int) -> dict:
    """The same workload on nano-vllm, in a process of its own on the same machine."""
    import tempfile

    from transformers import AutoTokenizer, Qwen3ForCausalLM

    from nanovllm_edu.models.folder import resolve_model_folder

    with tempfile.TemporaryDirectory() as folder:
        config = SOURCES["qwen3-0.6b"]()
        with torch.device("cuda"):
            Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        torch.cuda.empty_cache()
        # nano-vllm reads the rotary base under its older name.
        path = Path(folder, "config.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "rope_theta": 1e6}))
        AutoTokenizer.from_pretrained(resolve_model_folder("tiny")).save_pretrained(folder)
        script = Path(folder, "nano.py")
        script.write_text(NANO_SCRIPT)
        here = str(Path(__file__).parent)
        command = [sys.executable, str(script), str(checkout), folder, here, str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        return {"error": (done.stdout + done.stderr)[-3000:]}
    return json.loads(lines[0].removeprefix("RESULT "))


def machine(bench: Bench) -> dict:
    """Where, when and with what this was measured."""
    versions = {"python": sys.version.split()[0]}
    for package in ("torch", "triton", "transformers", "flash-attn"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {
        "date": date.today().isoformat(),
        "gpu": torch.cuda.get_device_name(),
        "versions": versions,
        "command": "python benchmarks/gpu.py " + " ".join(sys.argv[1:]),
        "copy_bandwidth_tb_s": bench.bandwidth / 1e12,
        "start_seconds": bench.start_seconds,
        "options": bench.options,
        "engine": {k: _said(v, why) for k, (v, why) in bench.info.choices.items()},
    }


def _said(value: object, why: str) -> str:
    return f"{value} ({why})".replace(str(Path.home()), "~")


def show(results: dict, others: dict, console: Console) -> None:
    """Prints what was measured, next to what others take."""
    table = Table(title="GPU benchmark", title_justify="left")
    columns = ("what", "measured", "floor", "goal", "vLLM", "nano-vllm")
    for column in columns:
        table.add_column(column, justify="right" if column != "what" else "left")

    def add(section: str, what: str, measured: str, floor: str = "", batch: int = 0) -> None:
        known = others.get(section, {})
        values = [known.get(who, "") for who in columns[3:]]
        cells = [
            value[BATCHES.index(batch)] if isinstance(value, list) else value for value in values
        ]
        table.add_row(what, measured, floor, *map(str, cells))

    if "main" in results:
        r = results["main"]
        measured = f"{r['seconds']:.2f} ({r['tokens_per_second']:,.0f} tok/s)"
        floor = f"{r['floor_seconds']:.2f} ({r['floor_fraction']:.0%})"
        add("main", "256 requests, 133,966 tokens, s", measured, floor)
    for size, r in results.get("small", {}).items():
        what = f"decode step, batch {size}, ms"
        add("small", what, f"{r['ms']:.3f}", f"{r['floor_ms']:.2f}", int(size))
    names = {
        "prefill": "prefill of 256 prompts, s",
        "long": "prefill of 32 prompts of 16,384 tokens, s",
        "prefix": "256 on a warm prefix, s",
    }
    for section in names.keys() & results:
        add(section, names[section], f"{results[section]['seconds']:.3f}")
    if "records" in results:
        add("records", "keeping every StepRecord", f"{results['records']['cost']:+.1%}")
    if "nano_vllm" in results and "seconds" in results["nano_vllm"] and "main" in results:
        nano = results["nano_vllm"]["seconds"]
        ratio = nano / results["main"]["seconds"]
        table.add_row("nano-vllm here, same run, s", f"{nano:.2f}", "", f"{ratio:.2f}x slower")
    console.print(table)


def option(text: str) -> tuple[str, int | str]:
    """`max_num_seqs=256` or `attention_backend=flash` as a pair."""
    name, value = text.split("=")
    return name, int(value) if value.isdigit() else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", choices=SOURCES, default="qwen3-0.6b")
    parser.add_argument("--options", nargs="*", type=option, default=[], metavar="NAME=VALUE")
    parser.add_argument("--nano-vllm", type=Path, help="a checkout to measure in the same run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.options = dict(args.options)
    results: dict = {}
    if args.nano_vllm:
        results["nano_vllm"] = nano_vllm(args.nano_vllm, args.repeats)
    bench = Bench(args)
    results = {"machine": machine(bench), **results}
    for section in tqdm(args.sections, desc="Sections"):
        results[section] = getattr(bench, section)()
    args.out.mkdir(parents=True, exist_ok=True)
    name = "gpu" if args.shape == "qwen3-0.6b" else f"gpu_{args.shape}"
    (args.out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    console = Console(record=True, width=110)
    console.print(json.dumps(results["machine"], indent=1))
    show(results, OTHERS[args.shape], console)
    (args.out / f"{name}.md").write_text(
        "# GPU benchmark\n\n```text\n" + console.export_text() + "```\n"
    )


if __name__ == "__main__":
    main()
