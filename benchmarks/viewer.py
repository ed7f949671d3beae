"""What looking costs: recording a step, opening a large recording, scrubbing through it.

    python benchmarks/viewer.py

2,000 steps x 256 sequences x 4,096 blocks in headless Chromium. Prints a table and writes
benchmarks/results/viewer.md. Each figure is given twice: as measured on the clock, and as processor
time of the page's main thread, which other work on the same machine disturbs less.
"""

import os
import shutil
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path
from platform import python_version
from random import Random
from time import perf_counter, process_time, thread_time

import torch
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from nanovllm_edu import LLM, EngineConfig, LLMEngine, SamplingParams
from nanovllm_edu.introspect import Recorder, Recording, to_html
from nanovllm_edu.runners.checksum import ChecksumRunner, ReadyTicket

NUM_STEPS, NUM_SEQUENCES, NUM_BLOCKS = 2000, 256, 4096
RESULTS = Path(__file__).parent / "results" / "viewer.md"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip

SCRUB = """async () => {
  const viewer = document.querySelector(".nv").viewer, times = [];
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (let i = 0; i < 60; i++) {
    const begin = performance.now();
    viewer.goto(300 + i * 23);
    await frame(); // until it is laid out and painted
    times.push(performance.now() - begin);
  }
  return times;
}"""


def large_recording() -> Recording:
    """A full batch for 2,000 steps; the runner only makes tokens up."""
    rng = Random(0)
    engine = LLMEngine(
        ChecksumRunner(NUM_BLOCKS, 16),
        EngineConfig(max_num_seqs=NUM_SEQUENCES, max_num_batched_tokens=4096),
    )
    engine.runner.launch = lambda plan: ReadyTicket(
        StepOutput({span.seq_id: (rng.randrange(50_000),) for span in plan.spans.sampled})
    )
    recorder = Recorder(engine)
    for _ in range(NUM_SEQUENCES):
        prompt = list(range(rng.randint(0, 64))) + rng.choices(range(1000), k=rng.randint(10, 80))
        recorder.add_request(prompt, SamplingParams(max_tokens=rng.randint(1500, 2000)))
    while len(recorder) < NUM_STEPS:
        recorder.step()
    return recorder.recording


def recording_cost() -> tuple[float, float]:
    """(microseconds that recording adds to a step, share of a step of the tiny model).

    In processor time of one thread, so that other work on the machine does not make a step look
    long, and recording cheap.
    """
    torch.set_num_threads(1)
    prompts = ["What is a KV cache?", "What is a block table?", "Why is decode slow?"]
    with LLM(num_blocks=256, max_num_seqs=8) as llm:
        recorder = Recorder(llm)
        for prompt in prompts:
            recorder.add_request(prompt, SamplingParams(max_tokens=60, ignore_eos=True))
        bare: list[float] = []
        step = llm.engine.step

        def timed_step():
            begin = thread_time()
            record = step()
            bare.append(thread_time() - begin)
            return record

        llm.engine.step = timed_step
        recorded: list[float] = []
        while llm.engine.has_unfinished_requests():
            begin = thread_time()
            recorder.step()
            recorded.append(thread_time() - begin)
    added = statistics.median(r - b for r, b in zip(recorded, bare, strict=True))
    return added * 1e6, added / statistics.median(bare)


def measure_page(path: Path) -> dict[str, float]:
    """Milliseconds to open, and per frame while scrubbing."""
    with sync_playwright() as playwright:
        system = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=system, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return 1e3 * next(m["value"] for m in metrics if m["name"] == "TaskDuration")

        begin = perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector(".nv-pool canvas")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        opened, busy_open = 1e3 * (perf_counter() - begin), busy()
        page.wait_for_timeout(500)
        before = busy()
        times = page.evaluate(SCRUB)
        busy_frame = (busy() - before) / len(times)
        browser.close()
    return {
        "open": opened,
        "open, main thread": busy_open,
        "frame": statistics.median(times),
        "frame, main thread": busy_frame,
    }


def main() -> None:
    begin = process_time()
    recording = large_recording()
    made = process_time() - begin
    with tempfile.TemporaryDirectory() as folder:
        path = to_html(recording, Path(folder) / "large.html")
        size, page = path.stat().st_size, measure_page(path)
    added, share = recording_cost()
    rows = [
        ("open the page", f"{page['open']:.0f} ms", "2,000 ms"),
        ("open the page, main thread", f"{page['open, main thread']:.0f} ms", ""),
        ("scrub, per frame (median)", f"{page['frame']:.0f} ms", "50 ms"),
        ("scrub, per frame, main thread", f"{page['frame, main thread']:.0f} ms", ""),
        ("size of the page", f"{size / 1e6:.1f} MB", ""),
        (
            "recording a step of the tiny model, processor time",
            f"{share:.2%} ({added:.1f} µs)",
            "5%",
        ),
    ]
    table = ["| what | measured | at most |", "|---|---:|---:|"]
    table += [f"| {' | '.join(row)} |" for row in rows]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    text = (
        "# What looking costs\n\n"
        f"`python benchmarks/viewer.py`: {NUM_STEPS:,} steps × {NUM_SEQUENCES} sequences × "
        f"{NUM_BLOCKS:,} blocks in headless Chromium, {os.cpu_count()} cores, load average {load}, "
        f"{date.today()}, Python {python_version()} "
        f"(making the recording took {made:.0f} s of processor time).\n\n" + "\n".join(table) + "\n"
    )
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
