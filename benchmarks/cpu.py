"""How many tokens a second on this CPU, against Hugging Face, in one process?

    python benchmarks/cpu.py             # both models, with and without a shared prefix
    python benchmarks/cpu.py --quick     # a quarter of the requests, one repeat

64 requests of 16 to 256 tokens in and 16 to 256 out, greedy, end tokens ignored, so that everybody
makes the same number of useful tokens. Hugging Face runs twice: `generate` on padded static batches
(the best of several batch sizes is reported) and its continuous batching, `generate_batch`. The
contenders take turns, so that a slow minute of the machine hits all; the figures are medians, and
what counts is their ratio. Results go to `benchmarks/results/cpu.json` and `cpu.md`.
"""

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from rich.console import Console
from rich.table import Table
from tqdm import tqdm
from transformers import AutoModelForCausalLM, GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.models.folder import resolve_model_folder

BATCH_SIZES = (8, 16, 64)
Requests = tuple[list[list[int]], list[int]]


def requests(num_requests: int, shared: int = 0) -> Requests:
    """Prompts and output lengths; with `shared`, all prompts begin with the same tokens."""
    rng = random.Random(0)
    prefix = [rng.randrange(300, 2500) for _ in range(shared)]
    longest = 32 if shared else 256
    prompts = [
        prefix + [rng.randrange(300, 2500) for _ in range(rng.randint(16, longest))]
        for _ in range(num_requests)
    ]
    return prompts, [rng.randint(16, 256) for _ in range(num_requests)]


def save_medium_model(folder: Path) -> None:
    """A random Qwen3 model of 30 million parameters beside the tiny model's tokenizer."""
    config = Qwen3Config(
        vocab_size=8192, hidden_size=512, intermediate_size=1536, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=4, head_dim=64, max_position_embeddings=2048,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(resolve_model_folder("tiny"))
    tokenizer.save_pretrained(folder)


class HuggingFace:
    """transformers on the same weights."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model.generation_config = GenerationConfig()

    def static(self, prompts: list[list[int]], lengths: list[int], batch_size: int):
        """`generate`, batch by batch; each runs until its longest output is done."""
        outputs: list[list[int]] = []
        for first in range(0, len(prompts), batch_size):
            batch = prompts[first : first + batch_size]
            wanted = lengths[first : first + batch_size]
            width, steps = max(map(len, batch)), max(wanted)
            ids = torch.tensor([[0] * (width - len(p)) + p for p in batch])
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in batch])
            done = self.model.generate(
                ids, attention_mask=mask, do_sample=False, max_new_tokens=steps,
                min_new_tokens=steps, pad_token_id=0,
            )  # fmt: skip
            rows = done[:, width:].tolist()
            outputs += [row[:n] for row, n in zip(rows, wanted, strict=True)]
        return outputs

    def continuous(self, prompts: list[list[int]], lengths: list[int]):
        """`generate_batch`: one length for all, so requests go in groups of like length."""
        outputs: list[list[int] | None] = [None] * len(prompts)
        order = sorted(range(len(prompts)), key=lengths.__getitem__)
        for first in range(0, len(order), 16):
            group = order[first : first + 16]
            config = GenerationConfig(
                do_sample=False, max_new_tokens=max(lengths[i] for i in group),
                eos_token_id=-1, pad_token_id=0,
            )  # fmt: skip
            done = self.model.generate_batch([prompts[i] for i in group], generation_config=config)
            results = sorted(done.items(), key=lambda item: int(str(item[0]).rsplit("_", 1)[-1]))
            for i, (_, result) in zip(group, results, strict=True):
                outputs[i] = list(result.generated_tokens)[: lengths[i]]
        return outputs


def ours(llm: LLM, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
    """All requests in one continuous batch, on an empty prefix cache."""
    llm.engine.scheduler.block_manager.reset_prefix_cache()
    params = [SamplingParams(temperature=0, ignore_eos=True, max_tokens=n) for n in lengths]
    return [output.token_ids for output in llm.generate(prompts, params, use_tqdm=False)]


def timed(work: Callable[[], list]) -> tuple[float, list]:
    """Seconds and result."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def compare(folder: Path, workload: Requests, repeats: int, label: str) -> dict:
    """Runs every contender `repeats` times in turn on one workload."""
    prompts, lengths = workload
    llm = LLM(folder, device="cpu", dtype="float32", max_num_seqs=64)
    hugging = HuggingFace(folder)
    contenders: dict[str, Callable[[], list]] = {"nanovllm-edu": lambda: ours(llm, *workload)}
    for size in BATCH_SIZES:
        contenders[f"generate, batches of {size}"] = lambda size=size: hugging.static(
            prompts, lengths, size
        )
    contenders["continuous batching"] = lambda: hugging.continuous(prompts, lengths)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    results: dict[str, list] = {}
    errors: dict[str, str] = {}
    for _ in tqdm(range(repeats), desc=label):
        for name, work in contenders.items():
            if name in errors:
                continue
            try:
                elapsed, results[name] = timed(work)
                seconds[name].append(elapsed)
            except Exception as error:  # another project's limits are part of the result
                errors[name] = f"{type(error).__name__}: {error}"[:300]
    mine = results["nanovllm-edu"]
    rows = {
        name: {
            "tokens_per_second": sum(lengths) / statistics.median(times),
            "seconds": times,
            "same_tokens": statistics.mean(map(list.__eq__, mine, results[name])),
        }
        for name, times in seconds.items()
        if times
    }
    llm.close()
    best = max(v["tokens_per_second"] for name, v in rows.items() if name.startswith("generate"))
    ratio = rows["nanovllm-edu"]["tokens_per_second"] / best
    return {"rows": rows, "errors": errors, "ratio_to_generate": ratio}


def show(results: dict, console: Console) -> None:
    """Prints one table per workload."""
    for label, result in results.items():
        table = Table(title=f"{label}: {result['ratio_to_generate']:.2f}x generate's best")
        for column in ("who", "tokens/s", "same tokens as ours"):
            table.add_column(column, justify="left" if column == "who" else "right")
        for name, row in result["rows"].items():
            table.add_row(name, f"{row['tokens_per_second']:,.0f}", f"{row['same_tokens']:.0%}")
        for name, error in result["errors"].items():
            table.add_row(name, "failed", error)
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    num_requests, repeats = (16, 1) if args.quick else (64, args.repeats)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        save_medium_model(Path(folder))
        for name, path in (("tiny", resolve_model_folder("tiny")), ("30M", Path(folder))):
            for shared in (0, 200):
                label = f"{name} model" + (f", shared prefix of {shared} tokens" if shared else "")
                results[label] = compare(path, requests(num_requests, shared), repeats, label)
    console = Console(record=True, width=100)
    packages = ("torch", "transformers")
    console.print(
        f"{date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
    )
    console.print("python benchmarks/cpu.py " + " ".join(sys.argv[1:]))
    show(results, console)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "cpu.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.out / "cpu.md").write_text(f"# CPU benchmark\n\n```text\n{console.export_text()}```\n")


if __name__ == "__main__":
    main()
