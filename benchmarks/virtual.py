"""Does the virtual clock tell the time? Real runs on this CPU against their predictions.

    python benchmarks/virtual.py            # measures, fits, predicts, plots: about ten minutes
    python benchmarks/virtual.py --ship     # and stores the calibration that the package brings
    python benchmarks/virtual.py --quick    # a tenth of the requests, nothing stored: does it work?
    python benchmarks/virtual.py --keep runs --rounds 5     # goes on with the rounds kept in `runs`

The model in the box serves eight workloads that the fit has not seen, and four that it is fitted
to, once in each round. Only that needs a quiet machine: with `--keep`, what was measured is there
for the next fit.

A figure is the median of the rounds; what is predicted is the median of nine virtual runs with
other disturbances. How well a copy of a run predicts the others says what can be expected of a
model.

Results go to `benchmarks/results/virtual.md` and `virtual.svg`. Read next: `virtual_workloads.py`,
`virtual_runs.py`, `virtual_page.py`.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from virtual_page import FIGURES, Row, as_markdown, plot
from virtual_runs import Round, paced_workloads, rounds
from virtual_workloads import FITTED, HELD_OUT, Workload

from nanovllm_edu import LLM
from nanovllm_edu.virtual.calibration import SHIPPED, Calibration, save
from nanovllm_edu.virtual.fit import fit
from nanovllm_edu.virtual.irregular import IrregularRunner
from nanovllm_edu.virtual.runner import twin_of
from nanovllm_edu.virtual.serving import Server, serve
from nanovllm_edu.virtual.summary import Summary

RESULTS = Path(__file__).parent / "results"
VIRTUAL_RUNS = 9
SOURCE = (
    "benchmarks/virtual.py: four workloads of the model in the box, CPU seconds of one thread on a "
    "machine of even speed"
)


def predict(llm: LLM, workload: Workload, calibration: Calibration, seed: int) -> Summary:
    """The same requests on a virtual clock."""
    real = llm.engine.fork(num_blocks=workload.num_blocks)
    engine = twin_of(real, calibration, partial(IrregularRunner, seed=seed))
    return Summary.of(serve(Server(engine), workload.arrivals()))


def rows_of(llm: LLM, calibration: Calibration, found: list[Round], part: int) -> Iterator[Row]:
    """Every figure of every workload."""
    for name, workload in paced_workloads(found[0].usual, part).items():
        if name in HELD_OUT:
            virtual = [predict(llm, workload, calibration, seed) for seed in range(VIRTUAL_RUNS)]
            for figure, (_, read, _) in FIGURES.items():
                measured = [read(each.summaries[name]) for each in found]
                yield Row(name, figure, measured, [read(summary) for summary in virtual])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--ship", action="store_true", help="store the calibration as the package's"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of it, and store nothing")
    parser.add_argument("--rounds", type=int, default=3, help="copies of each run")
    parser.add_argument("--keep", type=Path, help="a folder of rounds, to go on with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    part = 10 if arguments.quick else 1
    with LLM(device="cpu", num_blocks=512, max_num_seqs=64) as llm, TemporaryDirectory() as folder:
        found = rounds(llm, arguments.keep or Path(folder), arguments.rounds, part)
        fitted = [each.recordings[name] for each in found for name in FITTED]
        calibration = fit(fitted, source=SOURCE)
        rows = list(rows_of(llm, calibration, found, part))
    held_out = {name: [each.recordings[name] for each in found] for name in HELD_OUT}
    ticks = [seconds for each in found for seconds in each.ticks]
    text = as_markdown(calibration, rows, held_out, ticks, found[0].usual)
    print(text)
    if arguments.quick:
        return
    if arguments.ship:
        save(calibration, SHIPPED / "cpu.json")
    (RESULTS / "virtual.md").write_text(text)
    plot(rows, RESULTS / "virtual.svg")


if __name__ == "__main__":
    main()
