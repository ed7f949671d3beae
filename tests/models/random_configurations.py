"""Configurations drawn at random, saved in every way in which checkpoints are found.

What a model is (sizes, biases, positions) and how it is stored (names, shards, ties, what the
config leaves out) are drawn independently of each other.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from nanovllm_edu.models.checkpoint import SINGLE_NAME
from tests.models.configurations import Configuration

FAMILIES = ("qwen3", "qwen2", "llama", "mistral")
NUM_TRAINED = 48


def random_configuration(seed: int) -> Configuration:
    """A small model; every family comes up equally often."""
    rng = random.Random(seed)
    family = FAMILIES[seed % len(FAMILIES)]
    num_kv_heads = rng.choice((1, 2, 3))
    num_heads = num_kv_heads * rng.choice((1, 2, 3))
    changes: dict[str, Any] = {
        "vocab_size": rng.randrange(40, 200),
        "hidden_size": num_heads * rng.choice((4, 6, 10)),
        "intermediate_size": rng.choice((8, 30, 64)),
        "num_hidden_layers": rng.randrange(1, 5),
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "head_dim": rng.choice((4, 8, 12, 16)),
        "rms_norm_eps": rng.choice((1e-6, 1e-5, 1e-2)),
        "tie_word_embeddings": rng.random() < 0.5,
        "max_position_embeddings": NUM_TRAINED,
        "rope_parameters": _rope(rng),
        "eos_token_id": rng.choice((None, 7, [7, 9])),
        "sliding_window": rng.choice((None, 200)),
    }
    if family in ("qwen3", "llama"):
        changes["attention_bias"] = rng.random() < 0.5
    if family == "llama":
        changes["mlp_bias"] = rng.random() < 0.5
    return Configuration(family, f"random_{seed}", changes, rng.choice(("1GB", "8KB", "20KB")))


def _rope(rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(("default", "linear", "dynamic", "llama3", "yarn", "yarn"))
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": rng.choice((100.0, 1e4, 1e6))}
    if kind == "default":
        return rope
    rope["factor"] = rng.choice((1.5, 2.0, 4.0))
    if kind == "llama3":
        bounds = {"low_freq_factor": 1.0, "high_freq_factor": rng.choice((2.0, 4.0))}
        return rope | bounds | {"original_max_position_embeddings": 24}
    if kind == "yarn":
        rope["original_max_position_embeddings"] = rng.choice((32, NUM_TRAINED))
        if rng.random() < 0.5:
            rope |= {"beta_fast": 8.0, "beta_slow": 2.0}
    return rope


def num_positions(configuration: Configuration) -> int:
    """How long a sequence may be, as vLLM derives it."""
    rope = configuration.changes["rope_parameters"]
    if rope["rope_type"] == "yarn":
        length = int(rope["original_max_position_embeddings"] * rope["factor"])
    elif rope["rope_type"] in ("linear", "dynamic"):
        length = int(NUM_TRAINED * rope["factor"])
    else:
        length = NUM_TRAINED
    is_windowed = configuration.family == "mistral" and configuration.changes["sliding_window"]
    return min(length, 200) if is_windowed else length


# ------------------------------------------------------------------------- how it is stored


def edit_config(folder: Path, **changes: Any) -> None:
    """Changes some fields of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    """Stores other tensors, with the same index if there is one."""
    for path in folder.glob("*.safetensors"):
        save_file(change(load_file(path)), path, metadata={"format": "pt"})


def without_prefix(folder: Path) -> None:
    """As the base model saves itself."""
    change_tensors(folder, lambda ts: {n.removeprefix("model."): t for n, t in ts.items()})


def tied_as_head(folder: Path) -> None:
    """The shared matrix under the name of the output matrix alone."""
    change_tensors(folder, lambda ts: {_head(n): t for n, t in ts.items()})


def tied_twice(folder: Path) -> None:
    """The shared matrix under both names."""
    change_tensors(
        folder, lambda ts: ts | {_head(n): t.clone() for n, t in ts.items() if _head(n) != n}
    )


def without_architecture(folder: Path) -> None:
    """Nothing but the model_type says what it is."""
    edit_config(folder, architectures=None)


def with_old_rope_names(folder: Path) -> None:
    """As configs were written before `rope_parameters`."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    rope = content.pop("rope_parameters")
    content["rope_theta"] = rope.pop("rope_theta")
    content["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    path.write_text(json.dumps(content))


def store_at_random(folder: Path, configuration: Configuration, seed: int) -> list[str]:
    """Stores a saved model in other ways; returns which."""
    rng = random.Random(1000 + seed)
    ways: list[Callable[[Path], None]] = [without_architecture, with_old_rope_names]
    if (folder / SINGLE_NAME).exists():
        ways.append(without_prefix)
        if configuration.changes["tie_word_embeddings"]:
            ways.append(rng.choice((tied_as_head, tied_twice)))
    chosen = [way for way in ways if rng.random() < 0.5]
    if without_prefix in chosen and tied_as_head in chosen:
        chosen.remove(without_prefix)  # transformers itself takes only one of them at a time
    for way in chosen:
        way(folder)
    return [way.__name__ for way in chosen]


def _head(name: str) -> str:
    return "lm_head.weight" if name.endswith("embed_tokens.weight") else name
