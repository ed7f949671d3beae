"""When does guessing ahead pay? Acceptance, tokens per step and time per token, by batch size.

    python benchmarks/speculation.py                       # the model in the box: a few minutes
    python benchmarks/speculation.py --quick               # a few seconds; writes nothing
    python benchmarks/speculation.py --device cuda --model Qwen/Qwen3-8B --draft Qwen/Qwen3-0.6B

Each proposer takes turns with plain decoding, run by run, and the median of the ratios counts: what
else the machine does meanwhile hits both. On a CPU it is one thread and CPU time; on a GPU, wall
time. Two proposers are no proposers: the oracle knows the answer (the most that can be won), and
the liar is always wrong (the most that can be lost). On a GPU a near tie may fall otherwise in a
step of other shapes, so both learn what *they* make the model say before they are measured. Results
go to `benchmarks/results/speculation.md` (on a GPU `speculation_gpu.md`).
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from cpu import processor
from tqdm import tqdm

from nanovllm_edu import LLM, ModelProposer, NgramProposer, SamplingParams
from nanovllm_edu.core.events import DraftFailed, DraftVerified
from nanovllm_edu.core.schedule.draft_proposer import DraftProposer
from nanovllm_edu.engine import LLMEngine

LENGTH = 96
MAX_LENGTH = 512
MAX_LESSONS = 12
Requests = list[tuple[str, SamplingParams]]
STORIES = [
    "Once upon a time there was a little",
    "One day Tom and Lily went to the park and",
    "What is a KV cache?",
    "The dog saw a big red ball. He wanted to",
]
FACTS = "The cat sat on the mat. The dog sat on the rug. The bird sat in the tree. "
WORKLOADS = {
    "stories, greedy": (STORIES, 0.0),
    "stories, temperature 0.8": (STORIES, 0.8),
    "a text that repeats itself, greedy": ([FACTS * 3], 0.0),
}


class Oracle:
    """Guesses with the answers in hand; a liar says the token id before the right one."""

    def __init__(self, texts: Sequence[list[int]], num_tokens: int, *, is_liar: bool) -> None:
        self.texts, self._num_tokens, self._is_liar = texts, num_tokens, is_liar

    def propose(self, token_ids: Sequence[int], num_tokens: int) -> list[int]:
        """What follows in the text that begins like this."""
        start, said = len(token_ids), list(token_ids)
        text = next((text for text in self.texts if text[:start] == said), said)
        guesses = text[start : start + min(num_tokens, self._num_tokens)]
        return [max(0, guess - 1) if self._is_liar else guess for guess in guesses]


@dataclass
class Run:
    """One way of decoding, and what all its turns came to."""

    name: str
    engine: LLMEngine
    seconds: list[float] = field(default_factory=list[float])
    num_steps: int = 0
    num_drafted: int = 0
    num_accepted: int = 0

    def turn(self, asked: Requests, clock: Callable[[], float], depth: int) -> list[list[int]]:
        """Decodes the batch once, prompts off the clock; returns the texts."""
        sequences = self.engine.add_requests(asked)
        while not all(seq.output_token_ids for seq in sequences):
            self.engine.step()
        num_before = sum(len(seq.token_ids) for seq in sequences)
        begin = clock()
        records = list(self.engine.run(depth))
        seconds = clock() - begin
        num_tokens = sum(len(seq.token_ids) for seq in sequences) - num_before
        self.seconds.append(seconds / num_tokens)
        self.num_steps += sum(len(record.spans) for record in records)  # of each sequence
        events = [event for record in records for event in record.events]
        failed = [event.why for event in events if isinstance(event, DraftFailed)]
        assert not failed, failed[0]
        verified = [event for event in events if isinstance(event, DraftVerified)]
        self.num_drafted += sum(len(event.drafted) for event in verified)
        self.num_accepted += sum(event.num_accepted for event in verified)
        return [list(seq.token_ids) for seq in sequences]

    def warm_up(self, turn: Callable[["Run"], list[list[int]]], oracle: Oracle | None) -> None:
        """Turns that do not count; so many that an oracle knows what this very run says."""
        said = turn(self)
        for _ in range(MAX_LESSONS):
            if oracle is None or oracle.texts == said:
                break
            oracle.texts = said
            said = turn(self)
        self.seconds, self.num_steps, self.num_drafted, self.num_accepted = [], 0, 0, 0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    workload: str
    batch_size: int
    name: str
    acceptance: float | None
    tokens_per_step: float
    milliseconds: float
    speed: float

    def line(self) -> str:
        """As it stands there."""
        accepted = "" if self.acceptance is None else f"{self.acceptance:.0%}"
        return (
            f"| {self.workload} | {self.batch_size} | {self.name} | {accepted} | "
            f"{self.tokens_per_step:.2f} | {self.milliseconds:.3f} | {self.speed:.2f}x |"
        )


def requests(workload: str, batch_size: int) -> Requests:
    """So many prompts, each its own."""
    prompts, temperature = WORKLOADS[workload]
    return [
        (
            f"{i}. {prompts[i % len(prompts)]}",
            SamplingParams(temperature=temperature, seed=i, max_tokens=LENGTH, ignore_eos=True),
        )
        for i in range(batch_size)
    ]


def compare(
    workload: str, batch_size: int, ways: dict[str, DraftProposer], args: argparse.Namespace
) -> list[Row]:
    """Each way against plain decoding, in turns. Forks share the weights, and nothing else."""
    is_gpu = args.device == "cuda"
    clock = time.perf_counter if is_gpu else time.process_time
    depth = 1 if is_gpu else 0  # plain decoding on a GPU is planned ahead; guesses hinder that
    asked = requests(workload, batch_size)
    num_blocks = batch_size * MAX_LENGTH // 16
    with LLM(
        args.model, device=args.device, num_blocks=num_blocks, max_num_seqs=batch_size,
        max_model_len=MAX_LENGTH,
    ) as llm:  # fmt: skip
        plain = Run("plain", llm.engine)
        texts = plain.turn(asked, clock, depth)
        oracles = {
            name: Oracle(texts, args.num_tokens, is_liar=name == "liar")
            for name in ("oracle", "liar")
        }
        runs = [plain] + [
            Run(name, llm.engine.fork(draft_proposer=proposer))
            for name, proposer in {**ways, **oracles}.items()
        ]
        for run in runs:
            run.warm_up(lambda run: run.turn(asked, clock, depth), oracles.get(run.name))
        for _ in range(args.repeats):
            for run in runs:
                same = run.turn(asked, clock, depth) == texts
                assert same or is_gpu, f"{run.name} says something else"
    return [_row(workload, batch_size, run, plain) for run in runs]


def _row(workload: str, batch_size: int, run: Run, plain: Run) -> Row:
    pairs = zip(plain.seconds, run.seconds, strict=True)
    num_tokens = (LENGTH - 1) * batch_size * len(run.seconds)
    return Row(
        workload,
        batch_size,
        run.name,
        run.num_accepted / run.num_drafted if run.num_drafted else None,
        num_tokens / run.num_steps,
        1000 * statistics.median(run.seconds),
        statistics.median(slow / fast for slow, fast in pairs),
    )


def losing_from(rows: list[Row]) -> list[str]:
    """From which batch size each way is slower than plain decoding."""
    lines: list[str] = []
    for workload, name in dict.fromkeys((row.workload, row.name) for row in rows):
        if name in ("plain", "liar"):
            continue
        mine = [row for row in rows if (row.workload, row.name) == (workload, name)]
        losing = [row.batch_size for row in mine if row.speed < 0.98]  # less is noise
        when = f"loses from batch {min(losing)} on" if losing else "wins at each of them"
        lines.append(f"- {workload}, {name}: {when}.")
    return lines


def report(rows: list[Row], args: argparse.Namespace) -> str:
    """The page of results."""
    lines = [
        f"# What guesses bring on a {'GPU' if args.device == 'cuda' else 'CPU'}",
        "",
        f"{args.num_tokens} guesses a step, {LENGTH} tokens of each request. Tokens a step are "
        "those of one sequence. Time is per token of the batch; speed is the median of the ratios "
        f"to plain decoding, turn by turn, {args.repeats} turns. The oracle has heard what this "
        "very run says (on a GPU a near tie may fall otherwise than in plain decoding), the liar "
        "is always wrong: what can be won and lost at most.",
        "",
        "| workload | batch | who guesses | accepted | tokens a step | ms per token | speed |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    lines += [row.line() for row in rows]
    command = " ".join(["python benchmarks/speculation.py", *sys.argv[1:]])
    clock = "wall time" if args.device == "cuda" else "CPU time of one thread"
    place = torch.cuda.get_device_name() if args.device == "cuda" else processor()
    return "\n".join(
        [
            *lines,
            "",
            *losing_from(rows),
            "",
            f"{args.model} on {place}, {clock}, torch {version('torch')}, Python "
            f"{platform.python_version()}, {date.today().isoformat()}; load at the end "
            f"{os.getloadavg()[0]:.1f}. `{command}`",
            "",
        ]
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short turn; writes nothing")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--draft", default="tiny-draft", help="a small model that guesses")
    parser.add_argument("--num-tokens", type=int, default=4)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    if args.quick:
        args.batch_sizes, args.repeats = [1], 1
    return args


def main() -> None:
    """Measures, prints, and unless `--quick` writes the page."""
    args = arguments()
    if args.device == "cpu":
        torch.set_num_threads(1)
    options = {
        "device": args.device,
        "max_num_seqs": max(args.batch_sizes),
        "max_model_len": MAX_LENGTH,
        "num_blocks": max(args.batch_sizes) * MAX_LENGTH // 4,  # enough if its blocks are small
    }
    ways: dict[str, DraftProposer] = {
        "n-grams": NgramProposer(args.num_tokens),
        args.draft: ModelProposer(args.draft, args.num_tokens, **options),
    }
    rows: list[Row] = []
    for workload in tqdm(WORKLOADS):
        for batch_size in args.batch_sizes:
            measured = compare(workload, batch_size, ways, args)
            tqdm.write("\n".join(row.line() for row in measured))
            rows += measured
    page = report(rows, args)
    print(page)
    if not args.quick:
        suffix = "_gpu" if args.device == "cuda" else ""
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / f"speculation{suffix}.md").write_text(page)


if __name__ == "__main__":
    main()
