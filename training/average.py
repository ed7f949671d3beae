"""Averages models that went on from the same weights: `python -m training.average --out NEW A B`.

Two runs from one beginning end on the same slope, and half-way between them is often better than
either ("model soups", Wortsman et al., 2022). The record of the average names all their runs.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS, RECORD = "model.safetensors", "training_run.json"


def average(folders: list[Path], out: Path) -> None:
    """Writes a model folder with the mean of the weights; all else is that of the last folder.

    Args:
        folders: Model folders of one shape.
        out: The new folder.

    Raises:
        ValueError: If their weights differ in name or shape.
    """
    models = [load_file(folder / WEIGHTS) for folder in folders]
    shapes = [{name: w.shape for name, w in weights.items()} for weights in models]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"models to average need weights of one shape: {[*map(str, folders)]}")
    mean = {
        name: torch.stack([weights[name].float() for weights in models]).mean(0).to(first.dtype)
        for name, first in models[0].items()
    }
    shutil.copytree(folders[-1], out)
    save_file(mean, out / WEIGHTS, metadata={"format": "pt"})
    (out / RECORD).write_text(json.dumps(_record(folders), indent=1) + "\n", encoding="utf-8")


def _record(folders: list[Path]) -> dict:
    """The last run's record; before it come all other runs that the average is made of."""
    *others, last = (json.loads((folder / RECORD).read_text()) for folder in folders)
    before = {json.dumps(run): run for each in (*others, last) for run in each.get("before", [])}
    for run in others:
        said = {key: run[key] for key in run if key not in ("before", "evaluation")}
        before[json.dumps(said)] = said
    return last | {"before": [*before.values()], "averaged": len(folders)}


def main() -> None:
    """Reads the command line and averages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    average(arguments.folders, arguments.out)


if __name__ == "__main__":
    main()
