"""A virtual H200, fitted to tables that a real one left here, and what it predicts of other runs.

    python benchmarks/virtual_gpu.py        # no GPU needed; --ship stores the calibration

Fitted to milliseconds on the device, of a model of Qwen3-0.6B's shape: decode steps of 1 to 128
rows (`results/gpu.json`) and of 8 to 63 rows with contexts of 256 to 4,096 tokens, prompts of 64 to
8,192 tokens, and both in one step (`results/mixed_steps.md`). The host's share comes from
`results/gpu_timeline.json` (its constant) and `results/scheduler.md` (per row and per prompt
token).

Not fitted, and predicted: the traffic of `results/traffic.json`, on the same kind of machine. The
comparison goes to `benchmarks/results/virtual_gpu.md`.
"""

import argparse
import json
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from traffic import Request, percentiles, requests

from nanovllm_edu.core.plan import Span, Spans, StepPlan
from nanovllm_edu.virtual.arrivals import Arrival
from nanovllm_edu.virtual.calibration import SHIPPED, Calibration, Seconds, save
from nanovllm_edu.virtual.fit import Sample, errors_of
from nanovllm_edu.virtual.least_squares import nonnegative
from nanovllm_edu.virtual.runner import virtual_engine
from nanovllm_edu.virtual.serving import Answer, Server, serve
from nanovllm_edu.virtual.work import NAMES, Work, work_of

RESULTS = Path(__file__).parent / "results"
TRAFFIC = json.loads((RESULTS / "traffic.json").read_text())["default"]
OPTIONS = {**TRAFFIC["options"], "max_model_len": 4096}
"""Of the runs that are predicted."""
NUM_BLOCKS = 2**20 // OPTIONS["block_size"]
"""Room for a million tokens: more than ever wait."""
HOST_PER_ROW, HOST_PER_PROMPT_TOKEN = 1.03e-6, 0.07e-6
"""`results/scheduler.md`: 282 us for 256 rows and 20 for one; 9.9 ms for prompts of 143k tokens."""
SOURCE = (
    "device times in benchmarks/results/gpu.json and mixed_steps.md; host times in "
    "gpu_timeline.json and scheduler.md"
)


class Point(NamedTuple):
    """A step, and its milliseconds on the device."""

    what: str
    work: Work
    ms: float


def work(rows: int = 0, context: int = 0, prompt: int = 0) -> Work:
    """Of so many rows with so much context each, and a prompt, if it has tokens."""
    spans = [Span(row, row, context - 1, 1) for row in range(rows)]
    if prompt:
        spans.append(Span(rows, rows, 0, prompt))
    return work_of(StepPlan(0, Spans(spans)))


def points() -> Iterator[Point]:
    """All that was measured."""
    for key, value in json.loads((RESULTS / "gpu.json").read_text())["small"].items():
        rows = int(key)  # the context goes from 128 to 384
        yield Point(f"{rows} rows", work(rows, 256), value["ms"])
    for line in (RESULTS / "mixed_steps.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not cells[0].isdigit():
            continue
        if len(cells) == 4:
            length, ms = int(cells[0]), float(cells[2])
            yield Point(f"a prompt of {length}", work(prompt=length), ms)
        elif len(cells) == 6:
            rows, context, chunk = map(int, cells[:3])
            alone, riding, apart = map(float, cells[3:])
            what = f"{rows} rows of {context}"
            if chunk == 500:  # each stands there once more with a chunk of 2,000
                yield Point(what, work(rows, context), apart)
            both = work(rows, context, chunk)
            # The runner takes the faster way: runners/parts.py.
            yield Point(f"{what}, a chunk of {chunk}", both, min(riding, alone + apart))


def host_constant() -> float:
    """Seconds of planning, launching and committing a decode step, less what its rows take."""
    runs = json.loads((RESULTS / "gpu_timeline.json").read_text())["runs"]
    verbs = ("plan", "launch", "commit")
    spent = [
        sum(step[verb][1] - step[verb][0] for verb in verbs) * 1e-6
        - HOST_PER_ROW * step["num_seqs"]
        for run in runs
        for step in run["steps"]
        if step["kind"] == "decode"
    ]
    return statistics.median(spent)


def calibration() -> Calibration:
    """Fits; each point counts by its relative error, since there is one of each kind."""
    found = list(points())
    rows = [[x / point.ms for x in point.work] for point in found]
    device = Seconds(*(1e-3 * x for x in nonnegative(rows, [1.0] * len(rows))))
    host = Seconds(steps=host_constant(), rows=HOST_PER_ROW, prompt_tokens=HOST_PER_PROMPT_TOKEN)
    samples = [Sample(point.work, point.ms * 1e-3, 0.0) for point in found]
    step_error, total_error = errors_of(samples, device, Seconds())
    machine = json.loads((RESULTS / "gpu.json").read_text())["machine"]
    return Calibration(
        device=device,
        host=host,
        model="Qwen3ForCausalLM, 28 layers of 1024, bfloat16",
        device_name=machine["gpu"],
        date=machine["date"],
        versions=machine["versions"],
        source=SOURCE,
        num_steps=len(found),
        step_error=step_error,
        total_error=total_error,
    )


class Outcome(NamedTuple):
    """A figure of a run: as it was, and as it is predicted."""

    what: str
    measured: float
    predicted: float


def served(found: Calibration, arrivals: Iterable[Arrival]) -> tuple[float, list[Answer]]:
    """Seconds until the last token, and the answers."""
    server = Server(virtual_engine(found, NUM_BLOCKS, **OPTIONS), depth=1)
    answers = list(serve(server, arrivals))
    return server.clock(), answers


def at_once(found: Calibration, given: list[Request]) -> float:
    """Seconds until all are served."""
    return served(found, [Arrival(0.0, *request) for request in given])[0]


def one_by_one(found: Calibration, given: list[Request], rate: float) -> dict[str, float]:
    """Percentiles of what users waited, in milliseconds."""
    random, now = Random(1), 0.0
    times = [now := now + random.expovariate(rate) for _ in given]
    arrivals = (Arrival(at, *request) for at, request in zip(times, given, strict=True))
    answers = served(found, arrivals)[1]
    gaps = [gap for answer in answers for gap in answer.gaps]
    return percentiles("ttft", [answer.ttft for answer in answers]) | percentiles("gap", gaps)


def outcomes(found: Calibration) -> Iterator[Outcome]:
    """The runs of `traffic.py`."""
    known = at_once(found, requests(256, (100, 1024), (100, 1024)))
    short = at_once(found, requests(1024, (64, 256), (64, 256)))
    yield Outcome("256 requests at once, s", statistics.median(TRAFFIC["known"]), known)
    yield Outcome("1,024 short ones at once, s", statistics.median(TRAFFIC["short"]), short)
    waited = one_by_one(found, requests(600, (100, 2000), (50, 300)), 30)
    for name, measured in TRAFFIC["poisson"].items():
        yield Outcome(f"30 a second, {name}, ms", measured, waited[name])


def as_markdown(found: Calibration) -> str:
    """The fit and the comparison."""
    lines = [
        "# A virtual H200",
        "",
        f"{found.model} on {found.device_name}, measured {found.date}; fitted to {found.num_steps}",
        f"steps, half of them within {found.step_error:.1%}. Sources: {found.source}.",
        "Command: `python benchmarks/virtual_gpu.py`. No GPU was used to make this page.",
        "",
        "| work | device | host |",
        "|---|---:|---:|",
    ]
    for name, device, host in zip(NAMES, found.device, found.host, strict=True):
        lines.append(f"| {name} | {1e6 * device:.4g} us | {1e6 * host:.4g} us |")
    kv = found.device.kv_tokens
    reading = READING.format(us=1e6 * kv, size=KV_BYTES, tera=1e-12 * KV_BYTES / kv)
    lines += ["", reading, "", "| run, not fitted | measured | predicted | error |"]
    lines.append("|---|---:|---:|---:|")
    for what, measured, predicted in outcomes(found):
        error = f"{predicted / measured - 1:+.1%}"
        lines.append(f"| {what} | {measured:.2f} | {predicted:.2f} | {error} |")
    return "\n".join([*lines, "", WHY, ""])


READING = """\
A token in a row's context costs the device {us:.3f} us. It is {size:,} bytes of keys and values, so
that is {tera:.1f} TB/s: what this memory gives. The fit was told nothing of bytes."""
KV_BYTES = 114_688
"""Of a token, in this model."""
WHY = """\
Where the error comes from. With 256 rows, twice as many as were fitted, a row costs less than with
128, so both batches are predicted too slow. Between two tokens of few rows the host does more than
the tables hold: the loop of the benchmark is in none. And chunks beside rows were timed before some
of the kernels that the runs had became faster, so the longest gaps are predicted too long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ship", action="store_true", help="store it as the package's")
    found = calibration()
    if parser.parse_args().ship:
        save(found, SHIPPED / "h200.json")
    text = as_markdown(found)
    (RESULTS / "virtual_gpu.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
