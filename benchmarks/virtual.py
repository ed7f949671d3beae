"""Does the virtual clock tell the time? Real runs on this CPU against their predictions.

    python benchmarks/virtual.py            # measures, fits, predicts, plots: about ten minutes
    python benchmarks/virtual.py --ship     # and stores the calibration that the package brings
    python benchmarks/virtual.py --quick    # a tenth of the requests, nothing stored: does it work?
    python benchmarks/virtual.py --keep runs --rounds 5     # goes on with the rounds kept in `runs`

The model in the box serves eight workloads that the fit has not seen, and four that it is fitted
to, once in each round. Only that needs a quiet machine: with `--keep`, what was measured is there
for the next fit.

In a round everything meets the same machine, so the clock of a round is fitted to runs of that
round and predicts the others of it. What it predicts is the median of nine virtual runs with other
disturbances. How much the error differs from round to round says what can be expected of a model.
The calibration that is stored is fitted to all rounds.

Results go to `benchmarks/results/virtual.md` and `virtual.svg`. Read next: `virtual_workloads.py`,
`virtual_runs.py`, `virtual_page.py`.
"""

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
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


def calibration_of(found: Iterable[Round]) -> Calibration:
    """Fitted to those runs of some rounds that are there for it."""
    return fit([each.recordings[name] for each in found for name in FITTED], source=SOURCE)


def rows_of(llm: LLM, clocks: list[Calibration], found: list[Round], part: int) -> Iterator[Row]:
    """Every figure of every workload."""
    for name, workload in paced_workloads(found[0].usual, part).items():
        if name not in HELD_OUT:
            continue
        virtual = [
            [predict(llm, workload, clock, seed) for seed in range(VIRTUAL_RUNS)]
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
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    part = 10 if arguments.quick else 1
    with LLM(device="cpu", num_blocks=512, max_num_seqs=64) as llm, TemporaryDirectory() as folder:
        found = rounds(llm, arguments.keep or Path(folder), arguments.rounds, part)
        calibration, clocks = calibration_of(found), [calibration_of([each]) for each in found]
        rows = list(rows_of(llm, clocks, found, part))
    text = as_markdown(calibration, clocks, rows, found)
    print(text)
    if arguments.quick:
        return
    if arguments.ship:
        save(calibration, SHIPPED / "cpu.json")
    (RESULTS / "virtual.md").write_text(text)
    (RESULTS / "virtual.svg").write_text(plot(rows).svg())


if __name__ == "__main__":
    main()
