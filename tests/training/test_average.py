"""The mean of weights, and a record that names every run."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.average import average


def _folder(path, value, before, shape=(2, 3)):
    path.mkdir()
    save_file({"w": torch.full(shape, value, dtype=torch.bfloat16)}, path / "model.safetensors")
    run = {"seed": value, "before": before, "evaluation": {}}
    (path / "training_run.json").write_text(json.dumps(run))
    return path


def test_the_mean_of_weights_and_all_runs_named_once(tmp_path):
    start = {"seed": 0}
    a = _folder(tmp_path / "a", 1.0, [start])
    c = _folder(tmp_path / "c", 4.0, [start, {"seed": 1.0}])
    average([a, c], tmp_path / "new")
    mean = load_file(tmp_path / "new" / "model.safetensors")["w"]
    assert mean.dtype is torch.bfloat16
    assert mean.unique().tolist() == [2.5]
    run = json.loads((tmp_path / "new" / "training_run.json").read_text())
    assert run["averaged"] == 2
    assert [each["seed"] for each in run["before"]] == [0, 1.0]


def test_other_shapes_are_refused(tmp_path):
    a, b = _folder(tmp_path / "a", 1.0, []), _folder(tmp_path / "b", 1.0, [], shape=(3, 2))
    with pytest.raises(ValueError, match="one shape"):
        average([a, b], tmp_path / "new")
