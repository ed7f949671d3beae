"""`nanovllm-edu calibrate`: what this machine takes for each piece of work, as a file.

Read next: `virtual/measure.py`, the runs; `virtual/fit.py`, what is made of them.
"""

import argparse
import sys
from pathlib import Path

from nanovllm_edu.cli.make_llm import make_llm
from nanovllm_edu.errors import CalibrationError
from nanovllm_edu.introspect import load
from nanovllm_edu.virtual.calibration import Calibration, save
from nanovllm_edu.virtual.fit import fit
from nanovllm_edu.virtual.measure import record_runs


def run(arguments: argparse.Namespace) -> None:
    """Fits to the recordings given, or to runs of the model on this machine.

    Raises:
        CalibrationError: The recordings do not do, or the file cannot be written.
    """
    calibration = _of_recordings(arguments) if arguments.recordings else _of_this_machine(arguments)
    try:
        path = save(calibration, arguments.out)
    except OSError as error:
        raise CalibrationError(f"--out {arguments.out} cannot be written ({error}).") from error
    sys.stdout.write(f"{calibration!r}\n{path}\n")


def _of_recordings(arguments: argparse.Namespace) -> Calibration:
    names = ", ".join(Path(path).name for path in arguments.recordings)
    return fit(map(load, arguments.recordings), source=f"wall clock, recorded in {names}")


def _of_this_machine(arguments: argparse.Namespace) -> Calibration:
    with make_llm(arguments) as llm:
        for _ in record_runs(llm.engine):  # the first time, kernels are compiled and memory is cold
            break
        return fit(record_runs(llm.engine), source="wall clock, nanovllm-edu calibrate")
