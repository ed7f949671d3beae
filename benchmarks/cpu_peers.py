"""How fast are we beside the engines that people use on a CPU?

    python benchmarks/cpu.py --peers vllm_cpu=/path/to/python openvino_genai=... llama_cpp_lib=...

Each engine runs in a process of its own, with the Python that has it (without `=`, with this one),
and with its own defaults. Models of Qwen3's kind are made here, with random weights in float32, and
converted where an engine has a form of its own. Rounds are interleaved, and nobody comes always
after the same neighbour, so that whatever else the machine does slows everybody. A figure is the
median of the rounds; a ratio is of one round, ours divided by theirs: above 1 = slower.

Everybody generates the same number of tokens, greedily. "Same tokens" is the share of those of
batch 1 which are also ours: random weights choose between close seconds, so rounding shows.

Each run is added to `results/cpu_peers.md`, unless it is `--quick`.
"""

import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER

HERE = Path(__file__).parent
PACKAGES = {
    "ours": "nanovllm-edu",
    "hugging_face": "transformers",
    "vllm_cpu": "vllm-cpu",
    "openvino_genai": "openvino-genai",
    "llama_cpp_lib": "llama-cpp-python",
}
"""File in `peers/` -> package that is measured."""

SHAPES = {
    "19M": {"vocab_size": 4096, "hidden_size": 384, "num_hidden_layers": 8,
            "num_attention_heads": 12, "num_key_value_heads": 6, "intermediate_size": 1152},
    "184M": {"vocab_size": 32768, "hidden_size": 1024, "num_hidden_layers": 12,
             "num_attention_heads": 16, "num_key_value_heads": 8, "intermediate_size": 3072},
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """Requests of one kind: so many, of so many tokens, after a prefix that all share."""

    name: str
    num_requests: int
    prompt: tuple[int, int]
    generate: tuple[int, int]
    shared: int = 0

    def question(self, round_number: int) -> dict[str, list]:
        """The requests of a round; no two rounds begin alike, so no cache knows them."""
        rng = random.Random(f"{self.name}, {round_number}")

        def tokens(count: int) -> list[int]:
            return [rng.randrange(300, 2500) for _ in range(count)]

        shared = tokens(self.shared)
        prompts = [shared + tokens(rng.randint(*self.prompt)) for _ in range(self.num_requests)]
        return {"prompts": prompts, "lengths": [rng.randint(*self.generate) for _ in prompts]}


WORK = (
    Work("batch 1", 1, (16, 16), (64, 64)),
    Work("mixed", 32, (16, 128), (16, 128)),
    Work("prompts", 4, (500, 500), (1, 1)),
    Work("shared prefix", 64, (16, 16), (8, 8), shared=512),
)
QUICK = (Work("batch 1", 1, (16, 16), (8, 8)), Work("mixed", 4, (16, 32), (4, 8)))


def make_model(name: str, folder: Path) -> None:
    """Random weights, beside the tokenizer of the model in the box."""
    torch.manual_seed(0)
    config = Qwen3Config(
        **SHAPES[name],
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY_MODEL_FOLDER / file, folder)


@dataclass
class Peer:
    """One engine, and what it took."""

    name: str
    python: str
    folder: Path
    version: str = ""
    problem: str = ""
    start_up: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    outputs: list[list[int]] = field(default_factory=list)
    memory: float = 0.0
    process: "subprocess.Popen[str] | None" = None

    def start(self, log: Path) -> None:
        """From the start of the process to the first token."""
        package = PACKAGES[self.name]
        ask = f"from importlib.metadata import version; print(version({package!r}))"
        found = subprocess.run([self.python, "-c", ask], capture_output=True, text=True)
        if found.returncode:
            self.problem = f"{package} is not installed"
            return
        self.version = found.stdout.strip()
        command = [self.python, str(HERE / "peers" / "serve.py"), self.name, str(self.folder)]
        with log.open("w") as file:
            prepared = subprocess.run([*command, "--prepare"], stdout=file, stderr=file)
            if prepared.returncode:
                self.problem = f"does not take the model: {last_line(log)}"
                return
        begin = perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("a"),
            text=True,
        )
        if self.ask({"prompts": [[300, 301, 302]], "lengths": [1]}, log) is not None:
            self.start_up = perf_counter() - begin

    def ask(self, question: dict[str, list], log: Path) -> dict | None:
        """An answer; None where there is none any more, and `problem` says why."""
        if self.process is None:
            return None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.close()
            self.problem = f"ended: {last_line(log)}"
            return None
        answer = json.loads(line)
        lengths = [len(output) for output in answer["outputs"]]
        if lengths != question["lengths"]:
            self.close()
            self.problem = f"generated {lengths} tokens instead of {question['lengths']}"[:200]
            return None
        return answer

    def close(self) -> None:
        """Ends the process, and notes what memory it and its children had at most."""
        if self.process is not None:
            self.memory = sum(map(peak_memory, family(self.process.pid)))
            self.process.stdin.close()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def last_line(log: Path) -> str:
    """What a process said last."""
    return (log.read_text("utf-8", "replace").strip().splitlines() or ["nothing"])[-1][:200]


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def peak_memory(pid: int) -> float:
    """The most MiB that a process has held."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def contest(model: str, pythons: dict[str, str], num_rounds: int, works: tuple[Work, ...]) -> str:
    """The table of one model, in Markdown."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_model(model, folder)
        peers = [Peer(name, python, folder) for name, python in pythons.items()]
        loads = []
        for peer in peers:
            stack.callback(peer.close)
            peer.start(folder / f"{peer.name}.log")
        for work in works:
            for number in range(-1, num_rounds):  # the first warms up
                loads.append(os.getloadavg()[0])
                first = number % len(peers)
                for peer in peers[first:] + peers[:first]:
                    answer = peer.ask(work.question(number), folder / f"{peer.name}.log")
                    if answer is not None and number >= 0:
                        peer.seconds.setdefault(work.name, []).append(answer["seconds"])
                        if work is works[0]:
                            peer.outputs += answer["outputs"]
        for peer in peers:
            peer.close()
    return table(model, peers, works, loads)


def table(model: str, peers: list[Peer], works: tuple[Work, ...], loads: list[float]) -> str:
    """Everybody's figures, and ours divided by theirs."""
    names = [work.name for work in works]
    columns = [*(f"{name}, s" for name in names), "start-up, s", "memory, MiB", "same tokens"]
    words = (f"{a.partition('=')[0]}=PYTHON" if "=" in a else a for a in sys.argv[1:])
    command = " ".join(["python benchmarks/cpu.py", *words])
    lines = [
        f"## {model}, {date.today().isoformat()}",
        "",
        f"`{command}`; {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {version('torch')}; load average {min(loads):.1f} to {max(loads):.1f}, what is "
        "measured included.",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    ours = peers[0]
    for peer in peers:
        if peer.problem:
            lines.append(f"| {label(peer)}: {peer.problem} |" + " |" * len(columns))
            continue
        cells = [f"{statistics.median(peer.seconds[name]):.2f}" for name in names]
        cells += [f"{peer.start_up:.1f}", f"{peer.memory:.0f}", same_tokens(peer, ours)]
        lines.append(f"| {label(peer)} | " + " | ".join(cells) + " |")
    for peer in peers[1:]:
        if not peer.problem and not ours.problem:
            pairs = [zip(ours.seconds[name], peer.seconds[name], strict=True) for name in names]
            ratios = [statistics.median(a / b for a, b in pair) for pair in pairs]
            ratios += [ours.start_up / peer.start_up, ours.memory / peer.memory]
            cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            lines.append(f"| ours / {label(peer)} | {cells} | |")
    return "\n".join(lines) + "\n"


def label(peer: Peer) -> str:
    """Who that is."""
    return f"{PACKAGES[peer.name]} {peer.version}".strip()


def same_tokens(peer: Peer, ours: Peer) -> str:
    """The share of tokens that are also ours."""
    pairs = [
        (a, b)
        for mine, theirs in zip(ours.outputs, peer.outputs, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    ]
    return f"{sum(a == b for a, b in pairs) / len(pairs):.0%}"


def processor() -> str:
    """The CPU's name and its widest vectors, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    vectors = next((name for name in ("avx512f", "avx2", "asimd") if name in text), "no vectors")
    return f"{names[0] if names else platform.machine()} ({vectors})"


def run(names: list[str], models: list[str], num_rounds: int, out: Path | None) -> None:
    """Measures, prints, and adds the tables to `out`."""
    pythons = {"ours": sys.executable}
    for given in names or [name for name in PACKAGES if is_installed(PACKAGES[name])]:
        name, _, python = given.partition("=")
        if name not in PACKAGES:
            raise SystemExit(f"there is no peer {name!r}; there are {', '.join(PACKAGES)}")
        pythons[name] = python or sys.executable
    for model in models:
        text = contest(model, pythons, num_rounds, WORK if out else QUICK)
        print(text, flush=True)
        if out is not None:
            path = out / "cpu_peers.md"
            title = "# Beside other engines on a CPU\n"
            path.write_text((path.read_text() if path.exists() else title) + "\n" + text)


def is_installed(package: str) -> bool:
    """Whether this environment has it."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
