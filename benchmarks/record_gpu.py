"""Records what a GPU does, for those who have none: a run to click through, and a timeline.

    python benchmarks/record_gpu.py

`gpu_run.json.gz` is a `Recording`: the model in the box answers questions that share a system
message, in blocks of 256 tokens, with planning overlapped. `gpu_timeline.json` says when the CPU
planned, launched, waited and committed, and when the device was at work, in a few steps of a model
of Qwen3-0.6B's shape, with `run(0)` and with `run(1)`. The device's times come from CUDA events
around each launch. Both go to `benchmarks/results/`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import torch
from gpu import Bench, workload
from tqdm import tqdm

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.introspect import Recorder, save

SYSTEM = "You live in Willow Bay and you know how LLM inference works. Answer in one sentence. "
QUESTIONS = (
    "What is a KV cache?",
    "What is paging?",
    "Why is decoding slow?",
    "What is a block table?",
    "What is prefix caching?",
    "What is continuous batching?",
    "What is preemption?",
    "Tell me a story about the sea.",
)
NUM_SEQUENCES, NUM_DECODES = 64, 24


def record_run(path: Path) -> None:
    """Saves a recording of the model in the box: two rounds of questions, few blocks."""
    options = {"block_size": 256, "num_blocks": 24, "max_num_seqs": 12, "max_model_len": 2048}
    with LLM(device="cuda", **options) as llm:
        recorder = Recorder(llm)
        for turn in range(2):
            for seed, question in enumerate(QUESTIONS):
                messages = [
                    {"role": "system", "content": SYSTEM * 24},
                    {"role": "user", "content": question},
                ]
                prompt = llm.tokenizer.chat_prompt(messages)
                params = SamplingParams(
                    temperature=0.7 * turn, seed=seed, max_tokens=160, ignore_eos=seed % 2 == 0
                )
                recorder.add_request(prompt, params)
            for _ in tqdm(recorder.run(depth=1), desc=f"Recording, turn {turn + 1}"):
                pass
        save(recorder.recording, path)


class Clock:
    """Microseconds since its start, of the host and of the device."""

    def __init__(self) -> None:
        torch.cuda.synchronize()
        self._device_start = torch.cuda.Event(enable_timing=True)
        self._device_start.record()
        self._host_start = perf_counter()

    def now(self) -> float:
        """The host's time."""
        return (perf_counter() - self._host_start) * 1e6

    def mark(self) -> torch.cuda.Event:
        """An event that fires when the device gets here."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def of(self, event: torch.cuda.Event) -> float:
        """When the event fired."""
        return self._device_start.elapsed_time(event) * 1e3


def timeline(bench: Bench, depth: int) -> dict[str, Any]:
    """When each verb of a short run began and ended, on the host and on the device."""
    engine = bench.engine
    engine.scheduler.block_manager.reset_prefix_cache()
    prompts = workload()[0][:NUM_SEQUENCES]
    for prompt in prompts:
        params = SamplingParams(temperature=0.6, ignore_eos=True, max_tokens=NUM_DECODES + 1)
        engine.add_request(prompt, params)
    clock = Clock()
    verbs = ("plan", "launch", "wait", "commit")
    spans: dict[str, list[tuple[float, float]]] = {verb: [] for verb in verbs}
    device: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
    scheduler, runner = engine.scheduler, engine.runner
    plan, launch, commit = scheduler.plan, runner.launch, scheduler.commit

    def timed(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            begin = clock.now()
            result = verb(*arguments)
            spans[name].append((begin, clock.now()))
            return result

        return run

    def launch_between_marks(step: Any) -> Any:
        before = clock.mark()
        ticket = launch(step)
        device.append((before, clock.mark()))
        return SimpleTicket(ticket, timed("wait", ticket.wait))

    scheduler.plan = timed("plan", plan)
    runner.launch = timed("launch", launch_between_marks)
    scheduler.commit = timed("commit", commit)
    try:
        records = list(engine.run(depth=depth))
    finally:
        scheduler.plan, runner.launch, scheduler.commit = plan, launch, commit
    torch.cuda.synchronize()
    first = spans["plan"][0][0]
    steps = []
    for index, record in enumerate(records):
        times = {verb: spans[verb][index] for verb in verbs}
        times["device"] = tuple(map(clock.of, device[index]))
        num_seqs = len(record.spans)
        steps.append(
            {
                "step_id": index,
                "num_tokens": record.num_tokens,
                "num_seqs": num_seqs,
                "kind": "decode" if record.num_tokens == num_seqs else "prefill",
                **{name: [round(t - first, 1) for t in span] for name, span in times.items()},
            }
        )
    return {"depth": depth, "steps": steps}


class SimpleTicket:
    """A ticket whose `wait` is timed."""

    def __init__(self, ticket: Any, wait: Callable[[], Any]) -> None:
        self._ticket, self.wait = ticket, wait

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ticket, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    record_run(args.out / "gpu_run.json.gz")
    options = {"block_size": 256, "max_num_batched_tokens": 16_384}
    bench = Bench(SimpleNamespace(shape="qwen3-0.6b", options=options, repeats=1))
    for depth in (0, 1):
        timeline(bench, depth)  # warm
    document = {
        "gpu": torch.cuda.get_device_name(),
        "date": date.today().isoformat(),
        "command": " ".join(["python", "benchmarks/record_gpu.py", *sys.argv[1:]]),
        "runs": [timeline(bench, depth) for depth in (0, 1)],
    }
    (args.out / "gpu_timeline.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
