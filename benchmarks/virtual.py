"""Does the virtual clock tell the time? Real runs on this machine against their predictions.

    python benchmarks/virtual.py            # measures, fits, predicts, plots: about ten minutes
    python benchmarks/virtual.py --shape qwen3-0.6b         # on a GPU, with random weights
    python benchmarks/virtual.py --ship     # and stores the calibration that the package brings
    python benchmarks/virtual.py --quick    # a tenth of the requests, nothing stored: does it work?
    python benchmarks/virtual.py --keep runs --rounds 5     # goes on with the rounds kept in `runs`

A model (the one in the box, on a CPU) serves eight workloads that the fit has not seen, and four
that it is fitted to, once in each round. Only that needs a quiet machine: with `--keep`, what was
measured is there for the next fit.

In a round everything meets the same machine, so the clock of a round is fitted to runs of that
round and predicts the others of it. What it predicts is the median of nine virtual runs with other
disturbances. How much the error differs from round to round says what can be expected of a model.
The calibration that is stored is fitted to all rounds.

Results go to `benchmarks/results/virtual.md` and `virtual.svg`, those of a GPU to
`virtual_rounds_gpu.md` and `.svg`. Read next: `virtual_workloads.py`,
`virtual_runs.py`, `virtual_page.py`.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from gpu_shapes import SOURCES, shape
from virtual_page import FIGURES, Row, as_markdown, plot
from virtual_runs import Round, measure_on_cpu, measure_on_gpu, paced_workloads, rounds
from virtual_workloads import FITTED, HELD_OUT, Workload

from nanovllm_edu import LLM
from nanovllm_edu.config import EngineConfig
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.models.loader import build_random_model
from nanovllm_edu.runners.build import build_runner, choose_ops
from nanovllm_edu.runners.defaults import device_defaults
from nanovllm_edu.virtual.calibration import SHIPPED, Calibration, save
from nanovllm_edu.virtual.fit import fit
from nanovllm_edu.virtual.irregular import IrregularRunner
from nanovllm_edu.virtual.runner import twin_of
from nanovllm_edu.virtual.serving import Server, serve
from nanovllm_edu.virtual.summary import Summary

RESULTS = Path(__file__).parent / "results"
VIRTUAL_RUNS = 9
COMMAND = "python benchmarks/virtual.py --ship"
POOL = {"num_blocks": 512, "max_num_seqs": 64}


class Bench(NamedTuple):
    """What is measured, and how."""

    engine: LLMEngine
    measure: Callable[[LLMEngine, float | None, int], Round]
    how: str
    """What its seconds are."""
    command: str
    result: str
    """What its files are called."""
    shipped: str
    """What its calibration is called in the package."""


@contextmanager
def bench_on_cpu() -> Iterator[Bench]:
    """The model in the box."""
    torch.set_num_threads(1)
    with LLM(device="cpu", **POOL) as llm:
        how = "CPU seconds of one thread on a machine of even speed"
        yield Bench(llm.engine, measure_on_cpu, how, COMMAND, "virtual", "cpu")


@contextmanager
def bench_on_gpu(name: str) -> Iterator[Bench]:
    """Random weights, and steps that are taken one after the other (`depth=0`)."""
    device, like = torch.device("cuda"), shape(name)
    ops, why = choose_ops(device, torch.bfloat16)
    model = build_random_model(
        like, dtype=torch.bfloat16, device=device, ops=ops, max_model_len=4096
    )
    usual = {option: value for option, (value, _) in device_defaults(device, like).items()}
    config = EngineConfig(**usual | POOL | {"max_model_len": 4096, "block_size": 16})
    reasons = {"device": "benchmark", "dtype": "benchmark", "ops": why}
    engine = LLMEngine(build_runner(model, config, frozenset(), reasons)[0], config)
    command = f"{COMMAND} --shape {name}"
    yield Bench(engine, measure_on_gpu, "wall clock", command, "virtual_rounds_gpu", "h200")
    engine.close()


def predict(real: LLMEngine, workload: Workload, calibration: Calibration, seed: int) -> Summary:
    """The same requests on a virtual clock."""
    twin = twin_of(real, calibration, partial(IrregularRunner, seed=seed))
    engine = twin.fork(num_blocks=workload.num_blocks)
    return Summary.of(serve(Server(engine), workload.arrivals()))


def calibration_of(found: Iterable[Round], bench: Bench) -> Calibration:
    """Fitted to those runs of some rounds that are there for it."""
    source = f"benchmarks/virtual.py: four workloads, {bench.how}"
    return fit([each.recordings[name] for each in found for name in FITTED], source=source)


def rows_of(
    bench: Bench, clocks: list[Calibration], found: list[Round], part: int
) -> Iterator[Row]:
    """Every figure of every workload."""
    for name, workload in paced_workloads(found[0].usual, part).items():
        if name not in HELD_OUT:
            continue
        virtual = [
            [predict(bench.engine, workload, clock, seed) for seed in range(VIRTUAL_RUNS)]
            for clock in clocks
        ]
        for figure, (_, read, _) in FIGURES.items():
            measured = [read(each.summaries[name]) for each in found]
            yield Row(name, figure, measured, [median(map(read, runs)) for runs in virtual])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--ship", action="store_true", help="store the calibration as the package's"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of it, and store nothing")
    parser.add_argument("--rounds", type=int, default=3, help="copies of each run")
    parser.add_argument("--keep", type=Path, help="a folder of rounds, to go on with")
    parser.add_argument("--shape", choices=SOURCES, help="a GPU serves a model of this shape")
    arguments = parser.parse_args()
    part = 10 if arguments.quick else 1
    chosen = bench_on_gpu(arguments.shape) if arguments.shape else bench_on_cpu()
    with chosen as bench, TemporaryDirectory() as folder:
        measure = partial(bench.measure, bench.engine, part=part)
        found = rounds(measure, arguments.keep or Path(folder), arguments.rounds)
        calibration = calibration_of(found, bench)
        clocks = [calibration_of([each], bench) for each in found]
        rows = list(rows_of(bench, clocks, found, part))
    said = bench.how, bench.command, f"{bench.result}.svg"
    text = as_markdown(*said, calibration, clocks, rows, found)
    print(text)
    if arguments.quick:
        return
    if arguments.ship:
        save(calibration, SHIPPED / f"{bench.shipped}.json")
    (RESULTS / f"{bench.result}.md").write_text(text)
    (RESULTS / f"{bench.result}.svg").write_text(plot(rows).svg())


if __name__ == "__main__":
    main()
