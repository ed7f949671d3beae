"""A model folder with random weights, for programs that take one: `serve`, `runner`, `LLM`.

The weights have the shape of a well-known model, under the names that Hugging Face gives them. The
tokenizer is made up, too: as many tokens as that model's, most of them four letters long. So text
is made of tokens, and tokens of text, by the code that a real model would need.

Nothing is downloaded. Read next: `benchmarks/serve_gpu.py`.
"""

import json
import shutil
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from benchmarks.gpu_shapes import SOURCES, qwen3
from nanovllm_edu.models.folder import resolve_model_folder

SHAPES = {**SOURCES, "tiny": lambda: qwen3(64, 2, 8, 128)}
"""The last one is for a try on a CPU; its vocabulary is as large as that of the others."""
SPACE = "Ġ"
"""How a byte-level vocabulary writes it."""


def make_folder(shape: str, folder: Path) -> None:
    """Writes all files of a model."""
    config = SHAPES[shape]()
    config.save_pretrained(folder)
    save_file(random_weights(config), folder / "model.safetensors", {"format": "pt"})
    box = resolve_model_folder("tiny")
    shutil.copy(box / "tokenizer_config.json", folder)
    tokenizer = json.loads((box / "tokenizer.json").read_text())
    tokenizer["model"] |= vocabulary(tokenizer, config.vocab_size)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def random_weights(config: Any) -> dict[str, torch.Tensor]:
    """Norms are 1, all else is drawn with a standard deviation of 0.02."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device("meta"):
        shapes = AutoModelForCausalLM.from_config(config).state_dict()
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight", None)
    generator = torch.Generator(device).manual_seed(0)
    options = {"dtype": torch.bfloat16, "device": device}
    return {
        name: torch.ones(like.shape, dtype=torch.bfloat16)
        if "norm" in name
        else torch.empty(like.shape, **options).normal_(0, 0.02, generator=generator).cpu()
        for name, like in shapes.items()
    }


def vocabulary(tokenizer: dict, size: int) -> dict:
    """The special tokens and bytes of a tokenizer; then pairs of letters, and pairs of those."""
    single = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    letters = [token for token in tokenizer["model"]["vocab"] if len(token) == 1]
    tokens = dict(sorted(single.items(), key=lambda item: item[1]))
    tokens |= {letter: len(tokens) + number for number, letter in enumerate(letters)}
    ends = list(product(ascii_lowercase, repeat=2))
    pairs = [*product(SPACE, ascii_lowercase), *ends]
    fours = product(map("".join, pairs), map("".join, ends))
    merges = [*pairs, *islice(fours, size - len(tokens) - len(pairs))]
    tokens |= {first + second: len(tokens) + i for i, (first, second) in enumerate(merges)}
    return {"vocab": tokens, "merges": [list(merge) for merge in merges]}
