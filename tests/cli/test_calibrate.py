"""`nanovllm-edu calibrate`: a machine measured, recordings fitted, and what is no use refused."""

from pathlib import Path

import pytest

from nanovllm_edu.cli import main
from nanovllm_edu.introspect import save
from nanovllm_edu.lessons.hidden_device import hidden_engine, record
from nanovllm_edu.runners.machine import processor
from nanovllm_edu.virtual.arrivals import poisson
from nanovllm_edu.virtual.calibration import load


def test_this_machine_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "here.json"
    small = ["--device", "cpu", "--max-num-seqs", "4", "--max-model-len", "128"]
    assert main(["calibrate", "--out", str(out), *small]) == 0
    found = load(out)
    assert found.model == "Qwen3ForCausalLM, 5 layers of 256, float32"
    assert found.device_name == processor()
    assert found.device.steps + found.host.steps > 0
    assert found.num_steps > 50
    assert str(out) in capsys.readouterr().out


def test_recordings_are_fitted(tmp_path: Path):
    run = record(hidden_engine(seed=1), poisson(50, 40, (5, 200), (5, 60), 1))
    path, out = save(run, tmp_path / "run.json.gz"), tmp_path / "fit.json"
    assert main(["calibrate", str(path), "--out", str(out)]) == 0
    found = load(out)
    assert (found.model, found.device_name) == ("a hidden model", "a hidden device")
    assert found.source == "wall clock, recorded in run.json.gz"
    assert abs(found.total_error) < 0.01


@pytest.mark.parametrize("kind", ["missing", "short"])
def test_what_is_no_use_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
):
    path = tmp_path / "run.json.gz"
    if kind == "short":
        save(record(hidden_engine(seed=1), poisson(50, 1, (5, 9), (5, 9), 1)), path)
    assert main(["calibrate", str(path), "--out", str(tmp_path / "fit.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("nanovllm-edu calibrate: error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "fit.json").exists()
