"""Trains the draft model in the box: `python -m training.train_draft --out my_draft`.

A model of 0.47 million parameters that guesses what the model in the box will say. It reads the
same corpus with the same tokenizer, but learns only what a model is asked to say: answers, stories
and plain text, not the questions of users. One CPU core is enough, and what there is is saved on
the way. Read `train.py` before, whose parts these are; then `acceptance.py`, which counts how many
guesses come true.
"""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3ForCausalLM

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from training.acceptance import acceptance, table
from training.model_card import write_draft_card
from training.said_loss import SaidLoss
from training.train import (
    Settings,
    device_name,
    draw_corpus,
    fit,
    random_qwen3,
    recorded,
    save,
    settings_of,
)

STEPS_BETWEEN_CHECKPOINTS = 250


def new_draft(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A Qwen3 model of 0.47 million parameters with random weights; half of them name tokens."""
    return random_qwen3(
        tokenizer, hidden_size=96, intermediate_size=256, num_hidden_layers=2, head_dim=32
    )


def begin_with(model: Qwen3ForCausalLM, large: Tensor) -> None:
    """Gives the model the large one's embeddings [vocab, hidden], in their main directions.

    What is alike to the large model is alike to the small one before it has read a word.
    """
    embeddings = model.model.embed_tokens.weight
    left, scale, _ = torch.linalg.svd(large.float(), full_matrices=False)
    num_kept = embeddings.shape[1]
    with torch.no_grad():
        embeddings.copy_(left[:, :num_kept] * scale[:num_kept])


class MuonAndAdamW:
    """Muon (Jordan et al., 2024) for the matrices of the layers, AdamW for all else.

    With few tokens to learn from, Muon gets much further with each of them.
    """

    def __init__(self, model: Qwen3ForCausalLM, settings: Settings) -> None:
        parameters = list(model.model.layers.parameters())
        matrices = [p for p in parameters if p.ndim == 2]
        others = [p for p in model.parameters() if not any(p is m for m in matrices)]
        self._both = (
            torch.optim.Muon(matrices, lr=0.02, weight_decay=settings.weight_decay),
            torch.optim.AdamW(
                others, lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
            ),
        )
        for group in self.param_groups:
            group["initial_lr"] = group["lr"]  # `train_step` scales it

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of both."""
        return [group for each in self._both for group in each.param_groups]

    def step(self) -> None:
        """One step of each."""
        for each in self._both:
            each.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients."""
        for each in self._both:
            each.zero_grad(set_to_none)


def save_draft(folder: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Saves a copy of the model, and the tokenizer of the model in the box, file for file."""
    save(folder, copy.deepcopy(model), tokenizer)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY_MODEL_FOLDER / name, folder / name)


def train_draft(settings: Settings) -> dict[str, Any]:
    """The whole run; returns the record that it also writes to `training_run.json`."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.num_workers)
    folder = Path(settings.out)
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL_FOLDER)
    corpus = draw_corpus(tokenizer, settings)
    model = new_draft(tokenizer)
    large = load_file(TINY_MODEL_FOLDER / "model.safetensors")
    begin_with(model, large["model.embed_tokens.weight"])
    model.to(settings.device)  # pyright: ignore[reportArgumentType] (a decorator hides `self`)

    def each_step(step: int) -> None:
        if step % STEPS_BETWEEN_CHECKPOINTS == 0:
            save_draft(folder, model, tokenizer)

    optimizer = MuonAndAdamW(model, settings)
    fitted = fit(model, corpus, settings, SaidLoss(tokenizer), optimizer, each_step)
    save_draft(folder, model, tokenizer)
    run: dict[str, Any] = {
        "settings": recorded(settings),
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, tokenizers, np)},
        "device": device_name(settings.device),
        "num_parameters": model.num_parameters(),
        "num_corpus_tokens": sum(rows.size for rows in corpus.values()),
        "model": model.config.to_diff_dict(),
        **fitted,
    }
    (folder / "training_run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return run


def measure_draft(folder: Path) -> dict[str, Any]:
    """Counts how many guesses come true; adds that to the record, and writes the card."""
    record = folder / "training_run.json"
    run = json.loads(record.read_text(encoding="utf-8"))
    run["acceptance"] = acceptance(folder, run["settings"]["num_questions"])
    record.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    write_draft_card(folder, run, table(run["acceptance"]))
    print(table(run["acceptance"]))
    return run


DEFAULTS = Settings(
    out="draft_model",
    device="cpu",
    minutes=36.0,
    num_documents=60_000,
    tokens_per_step=1024,
    learning_rate=3e-3,
    num_questions=60,
    num_workers=1,
)


def main() -> None:
    """Reads the command line, trains and measures; every field of `Settings` is an option."""
    settings = settings_of("Train the draft model in the box.", DEFAULTS)
    train_draft(settings)
    measure_draft(Path(settings.out))


if __name__ == "__main__":
    main()
