"""How fast is the engine on this CPU, next to Hugging Face `generate` and continuous batching?

    python benchmarks/cpu.py              # half an hour on 2 cores; writes results/cpu.*
    python benchmarks/cpu.py --quick      # under a minute, writes nothing
    python benchmarks/cpu.py --models 30M --workloads random   # one contest; the others are kept
    python benchmarks/cpu.py --busy 1     # beside a process that never rests: see cpu_busy.py
    python benchmarks/cpu.py --peers      # beside other engines: see cpu_peers.py

A contest is one model and one workload. Each keeps its own date, versions and command, and is
written as soon as it is over, so the whole can be measured in pieces. A contest against fewer ways
of `generate`, such as the best one of another day, is shorter: `--batch-sizes 64 --caches static`.

64 requests arrive at once: 16 to 256 prompt tokens, 16 to 256 tokens to generate, greedy, float32,
end-of-text ignored so that everybody makes the same number of tokens. One process, one set of
weights on disk, the same threads. Who is compared:

    ours                  `LLMEngine`, its prefix cache emptied before each run
    generate              transformers, static batches in order of arrival, padded on the left; a
                          batch runs until its longest request is done. Every batch size is tried
                          with both of its caches ("dynamic" grows, "static" is allocated once), and
                          the best one is measured against us
    continuous batching   transformers' own paged scheduler

Runs alternate, so that a busy machine slows everybody; a ratio is the median of the ratios of
neighbouring runs.
"""

import argparse
import io
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import cpu_busy
import cpu_peers
import torch
import transformers
from rich.console import Console
from rich.table import Table
from tqdm import tqdm
from transformers import (
    AutoModelForCausalLM,
    ContinuousBatchingConfig,
    GenerationConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from nanovllm_edu import LLMEngine, SamplingParams
from nanovllm_edu.config import EngineConfig
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.loader import load_model
from nanovllm_edu.runners.build import build_runner, choose_ops

BLOCK_SIZE = 16
TARGETS = {"random": 2.5, "shared prefix": 5.0}
"""How many times faster than `generate` the engine is meant to be."""

MODELS = ("tiny", "30M")
CACHES = ("dynamic", "static")
"""Of `generate`."""

Run = Callable[[], list[list[int]]]
Contests = dict[tuple[str, str], dict[str, Any]]


@dataclass(frozen=True)
class Workload:
    """Prompts, and how many tokens each of them wants."""

    name: str
    prompts: list[list[int]]
    lengths: list[int]

    @classmethod
    def make(cls, name: str, num_requests: int, longest: int, num_shared: int) -> "Workload":
        """Random lengths in [16, longest]; the first `num_shared` prompt tokens are the same."""
        rng = random.Random(0)

        def tokens(count: int) -> list[int]:
            return [rng.randrange(300, 2500) for _ in range(count)]

        shared = tokens(num_shared)
        prompts = [shared + tokens(rng.randint(16, longest)) for _ in range(num_requests)]
        return cls(name, prompts, [rng.randint(16, longest) for _ in range(num_requests)])


@dataclass
class Result:
    """Runs of one contestant on one workload."""

    who: str
    seconds: list[float] = field(default_factory=list)
    tokens_per_second: float = 0.0
    ours_is_faster_by: float | None = None
    same_tokens: float | None = None
    note: str = ""


def model_30m(folder: str) -> str:
    """Saves a random Qwen3 of 30 million parameters with the proportions of Qwen3-0.6B."""
    config = Qwen3Config(
        vocab_size=4096,
        hidden_size=512,
        num_hidden_layers=7,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=64,
        intermediate_size=1536,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


class Contest:
    """One model and one workload, to be run by each contestant."""

    def __init__(self, name: str, folder: str | Path, workload: Workload) -> None:
        self.name, self.workload = name, workload
        ops, why_ops = choose_ops(torch.device("cpu"), torch.float32)
        reasons = {"device": "benchmark", "dtype": "benchmark", "ops": why_ops}
        model = load_model(folder, dtype=torch.float32, ops=ops, progress=False)
        needed = [p + n for p, n in zip(map(len, workload.prompts), workload.lengths, strict=True)]
        config = EngineConfig(
            block_size=BLOCK_SIZE, num_blocks=sum(-(-n // BLOCK_SIZE) for n in needed)
        )
        runner, self.info = build_runner(model, config, frozenset(), reasons)
        self.engine = LLMEngine(runner, config)
        self.reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.reference.generation_config.eos_token_id = None
        self.reference.config.eos_token_id = None
        self.num_parameters = sum(p.numel() for p in model.parameters())

    def facts(self) -> dict[str, Any]:
        """What one has to know to judge the figures."""
        chosen = {name: self.info.choices[name] for name in ("ops", "products", "attention")}
        return {
            "model": self.name,
            "workload": self.workload.name,
            "parameters": self.num_parameters,
            "engine": {name: f"{value} ({why})" for name, (value, why) in chosen.items()},
            "machine": machine(),
        }

    def ours(self) -> list[list[int]]:
        """The engine, one step after the other."""
        self.engine.scheduler.block_manager.reset_prefix_cache()
        outputs: dict[int, list[int]] = {}
        for prompt, length in zip(self.workload.prompts, self.workload.lengths, strict=True):
            params = SamplingParams(temperature=0, ignore_eos=True, max_tokens=length)
            outputs[self.engine.add_request(prompt, params)] = []
        for record in self.engine.run(depth=0):
            for seq_id, tokens in record.new_tokens.items():
                outputs[seq_id] += tokens
        return list(outputs.values())

    def generate(self, batch_size: int, cache: str) -> list[list[int]]:
        """Hugging Face's static batches."""
        outputs: list[list[int]] = []
        for start in range(0, len(self.workload.prompts), batch_size):
            lengths = self.workload.lengths[start : start + batch_size]
            outputs += self._padded_batch(
                self.workload.prompts[start : start + batch_size], lengths, cache
            )
        return outputs

    def _padded_batch(
        self, prompts: list[list[int]], lengths: list[int], cache: str
    ) -> list[list[int]]:
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        output = self.reference.generate(
            torch.tensor([[0] * n + prompt for n, prompt in zip(padding, prompts, strict=True)]),
            attention_mask=torch.tensor([[0] * n + [1] * (width - n) for n in padding]),
            max_new_tokens=max(lengths),
            do_sample=False,
            pad_token_id=0,
            cache_implementation="static" if cache == "static" else None,
            disable_compile=True,
        )
        return [row[width : width + n].tolist() for row, n in zip(output, lengths, strict=True)]

    def continuous_batching(self) -> list[list[int]]:
        """Hugging Face's paged scheduler, each request with its own length."""
        options = ContinuousBatchingConfig(
            page_size=BLOCK_SIZE, num_blocks=self.engine.runner.num_blocks, max_batch_tokens=2048
        )
        greedy = GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0)
        outputs: dict[str, list[int]] = {}
        with self.reference.continuous_batching_context_manager(
            generation_config=greedy, continuous_batching_config=options
        ) as manager:
            for prompt, length in zip(self.workload.prompts, self.workload.lengths, strict=True):
                outputs[manager.add_request(prompt, max_new_tokens=length)] = []
            unfinished = len(outputs)
            while unfinished:
                result = manager.get_result(timeout=1)
                if result is None and not manager.is_running():
                    raise RuntimeError("its thread ended before the requests did")
                if result is not None and result.error:
                    raise RuntimeError(result.error)
                if result is not None and result.is_finished():
                    outputs[result.request_id] = list(result.generated_tokens)
                    unfinished -= 1
        return list(outputs.values())


class Judge:
    """Runs a contest and keeps the score."""

    def __init__(self, contest: Contest, bar: tqdm) -> None:
        self.contest, self.bar = contest, bar
        self.expected: list[list[int]] = []

    def score(self, args: argparse.Namespace) -> list[Result]:
        """Finds the best `generate`, then alternates it with ours; continuous batching once."""
        ours = self._result("ours")
        self._run(ours, self.contest.ours)  # warms up, and gives the tokens to compare with
        ours.seconds.clear()
        tried = self._try_all(args.batch_sizes, args.caches)
        best = min(tried, key=lambda pair: pair[0].seconds[0])
        best[0].seconds.clear()
        for _ in range(args.repeats):
            self._run(ours, self.contest.ours)
            self._run(*best)
        others = [result for result, _ in tried]
        if args.continuous_batching:
            others.append(self._continuous_batching())
        for result in [ours, *others]:
            self._summarise(result, ours)
        return [ours, *others]

    def _try_all(self, batch_sizes: list[int], caches: list[str]) -> list[tuple[Result, Run]]:
        tried: list[tuple[Result, Run]] = []
        for batch_size in batch_sizes:
            for cache in caches:
                result = self._result(f"generate, batches of {batch_size}, {cache} cache")

                def run(batch_size: int = batch_size, cache: str = cache) -> list[list[int]]:
                    return self.contest.generate(batch_size, cache)

                self._run(result, run)
                tried.append((result, run))
        return tried

    def _continuous_batching(self) -> Result:
        result = self._result("continuous batching of transformers")
        try:
            self._run(result, self.contest.continuous_batching)
        except Exception as error:  # whatever stops it here is what the table must say
            result.note = f"does not run here: {type(error).__name__}: {error}"
        return result

    def _result(self, who: str) -> Result:
        return Result(who)

    def _run(self, result: Result, run: Run) -> None:
        contest = self.contest
        self.bar.set_description(f"{contest.name}, {contest.workload.name}: {result.who}")
        begin = perf_counter()
        outputs = run()
        result.seconds.append(perf_counter() - begin)
        assert [len(tokens) for tokens in outputs] == self.contest.workload.lengths, result.who
        self.expected = self.expected or outputs
        pairs = zip(outputs, self.expected, strict=True)
        same = sum(a == b for one, other in pairs for a, b in zip(one, other, strict=True))
        result.same_tokens = same / sum(self.contest.workload.lengths)
        self.bar.update()

    def _summarise(self, result: Result, ours: Result) -> None:
        if not result.seconds:
            return
        num_tokens = sum(self.contest.workload.lengths)
        result.tokens_per_second = num_tokens / statistics.median(result.seconds)
        if len(result.seconds) == len(ours.seconds):
            pairs = zip(result.seconds, ours.seconds, strict=True)
            result.ours_is_faster_by = statistics.median(theirs / mine for theirs, mine in pairs)
        else:
            median = statistics.median(ours.seconds)
            result.ours_is_faster_by = result.seconds[0] / median


def machine() -> dict[str, Any]:
    """Where, when and with what this was measured."""
    packages = ("torch", "transformers", "nanovllm-edu")
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_at_start": os.getloadavg()[0],
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "command": " ".join(["python", "benchmarks/cpu.py", *sys.argv[1:]]),
    }


def processor() -> str:
    """The CPU's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def table_of(contests: list[dict[str, Any]]) -> Table:
    """Everybody's figures; the best `generate` of a contest is the one to beat."""
    table = Table(title="Output tokens per second on a CPU", title_justify="left")
    for column in ("model", "workload", "who", "tokens/s", "ours is", "target", "same tokens"):
        table.add_column(
            column, justify="left" if column in ("model", "workload", "who") else "right"
        )
    for contest in contests:
        results = [Result(**result) for result in contest["results"]]
        best = max(
            (result for result in results if "generate" in result.who),
            key=lambda result: result.tokens_per_second,
        )
        for result in results:
            table.add_row(
                *(contest["model"], contest["workload"]),
                *_cells(result, f"{TARGETS[contest['workload']]}x" if result is best else ""),
                style="bold" if result is best or result.who == "ours" else "",
            )
        table.add_section()
    return table


def _cells(result: Result, target: str) -> tuple[str, ...]:
    """One contestant's part of a row."""
    ratio, same = result.ours_is_faster_by, result.same_tokens
    return (
        result.who + (f" ({result.note})" if result.note else ""),
        f"{result.tokens_per_second:,.0f}" if result.seconds else "",
        f"{ratio:.2f}x faster" if result.who != "ours" and ratio is not None else "",
        target,
        f"{same:.1%}" if same is not None else "",
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few short requests; writes nothing")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--workloads", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[8, 16, 64])
    parser.add_argument("--caches", nargs="+", choices=CACHES, default=list(CACHES))
    parser.add_argument(
        "--continuous-batching", action=argparse.BooleanOptionalAction, default=True
    )
    parser.add_argument(
        "--busy", type=int, metavar="N", help="the defaults beside N busy processes"
    )
    parser.add_argument(
        "--peers", nargs="*", metavar="NAME=PYTHON", help="other engines, each in its own Python"
    )
    parser.add_argument("--peer-models", nargs="+", choices=cpu_peers.SHAPES, help="of --peers")
    parser.add_argument("--rounds", type=int, default=7, help="of --busy and --peers")
    parser.add_argument("--against", type=Path, help="another checkout, for --busy")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    if args.quick:
        args.models, args.repeats, args.batch_sizes = ["tiny"], 1, [8]
    return args


def main() -> None:
    """Runs the contests asked for, and prints the table; unless `--quick`, merges and writes."""
    args = arguments()
    if args.busy is not None:
        cpu_busy.run(args.busy, args.rounds, args.against, None if args.quick else args.out)
        return
    if args.peers is not None:
        models = args.peer_models or list(cpu_peers.SHAPES)
        cpu_peers.run(args.peers, models, args.rounds, None if args.quick else args.out)
        return
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="transformers")
    contests = {} if args.quick else read(args.out)
    num_ways = len(args.batch_sizes) * len(args.caches)
    runs = 1 + num_ways + 2 * args.repeats + args.continuous_batching
    with (
        tempfile.TemporaryDirectory() as temporary,
        tqdm(total=runs * len(args.models) * len(args.workloads), unit="run") as bar,
    ):
        for model in args.models:
            folder = resolve_model_folder("tiny") if model == "tiny" else model_30m(temporary)
            for name in args.workloads:
                contest = Contest(model, folder, workload(name, is_quick=args.quick))
                facts = contest.facts()
                results = Judge(contest, bar).score(args)
                contests[model, name] = facts | {"results": [asdict(r) for r in results]}
                if not args.quick:
                    write(args.out, contests)
    Console(width=130).print(table_of(in_order(contests)))


def workload(name: str, *, is_quick: bool) -> Workload:
    """The requests of that name."""
    num_requests, longest, num_shared = (16, 48, 64) if is_quick else (64, 256, 200)
    return Workload.make(name, num_requests, longest, num_shared if "shared" in name else 0)


def in_order(contests: Contests) -> list[dict[str, Any]]:
    """As they are shown: by model, then by workload."""
    return [contests[m, w] for m in MODELS for w in TARGETS if (m, w) in contests]


def read(folder: Path) -> Contests:
    """The contests of cpu.json, by model and workload."""
    path = folder / "cpu.json"
    contests = json.loads(path.read_text("utf-8"))["contests"] if path.exists() else []
    return {(contest["model"], contest["workload"]): contest for contest in contests}


def write(folder: Path, contests: Contests) -> None:
    """Writes cpu.json, and cpu.md from the same."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = in_order(contests)
    (folder / "cpu.json").write_text(json.dumps({"contests": ordered}, indent=1) + "\n")
    console = Console(record=True, width=130, file=io.StringIO())
    console.print(table_of(ordered))
    facts = [{k: v for k, v in contest.items() if k != "results"} for contest in ordered]
    (folder / "cpu.md").write_text(
        f"# CPU benchmark\n\n```text\n{console.export_text()}```\n\n"
        f"Measured with:\n\n```json\n{json.dumps(facts, indent=1)}\n```\n"
    )


if __name__ == "__main__":
    main()
