"""A small model to guess with: the first layers of the model in the box."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from nanovllm_edu.models.folder import resolve_model_folder


def first_layers(folder: Path, num_layers: int, num_tokens: int | None = None) -> Path:
    """The model in the box with its first layers alone, and maybe with fewer tokens."""
    box = resolve_model_folder("tiny")
    folder.mkdir(parents=True, exist_ok=True)
    for file in box.iterdir():
        if file.is_file() and file.suffix != ".safetensors":
            shutil.copy(file, folder)
    config = json.loads((box / "config.json").read_text())
    weights = load_file(box / "model.safetensors")
    kept = {n: w for n, w in weights.items() if not _is_of_a_later_layer(n, num_layers)}
    if num_tokens is not None:
        whole = {n for n, w in kept.items() if w.shape[:1] == (config["vocab_size"],)}
        kept |= {n: kept[n][:num_tokens].contiguous() for n in whole}
        config["vocab_size"] = num_tokens
    config["num_hidden_layers"] = num_layers
    if "layer_types" in config:
        config["layer_types"] = config["layer_types"][:num_layers]
    (folder / "config.json").write_text(json.dumps(config))
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    return folder


def _is_of_a_later_layer(name: str, num_layers: int) -> bool:
    parts = name.split(".")
    return "layers" in parts and int(parts[parts.index("layers") + 1]) >= num_layers
