"""The draft model learns what a model says, from a good beginning, and its folder is whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from training import train
from training import train_draft as training
from training.said_loss import SaidLoss
from training.train_draft import DEFAULTS, MuonAndAdamW, begin_with, new_draft


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY_MODEL_FOLDER)


def test_it_begins_with_the_directions_of_the_large_model(tokenizer):
    large = load_file(TINY_MODEL_FOLDER / "model.safetensors")["model.embed_tokens.weight"].float()
    model = new_draft(tokenizer)
    begin_with(model, large)
    small = model.model.embed_tokens.weight.detach()
    alike, wanted = small[:300] @ small[:300].T, large[:300] @ large[:300].T
    pairs = torch.stack([alike.flatten(), wanted.flatten()])
    assert torch.corrcoef(pairs)[0, 1] > 0.95


def test_every_parameter_has_one_optimizer(tokenizer):
    model = new_draft(tokenizer)
    groups = MuonAndAdamW(model, DEFAULTS).param_groups
    trained = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(trained) == sorted(map(id, model.parameters()))


def test_it_learns_a_repeated_row_and_saves_on_the_way(tokenizer, tmp_path):
    torch.manual_seed(0)
    settings = replace(DEFAULTS, steps=40, tokens_per_step=64)
    rows = np.tile(np.arange(300, 332, dtype=np.int16), (4, 1))
    model, saved = new_draft(tokenizer), []
    loss, optimizer = SaidLoss(tokenizer), MuonAndAdamW(model, settings)
    corpus = dict.fromkeys(train.CYCLE, rows)
    curve = train.fit(model, corpus, settings, loss, optimizer, saved.append)["loss"]
    assert curve[-1]["loss"] < curve[0]["loss"] / 2
    assert saved == list(range(40))
    training.save_draft(tmp_path, model, tokenizer)
    assert next(model.parameters()).dtype == torch.float32  # goes on being trained


FIGURES = {"right": 0.5, "accepted": 0.25, "tokens": 2.0, "steps": 7}


def test_one_command_makes_a_model_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "acceptance", lambda folder, count: {"x": FIGURES})
    training.train_draft(
        replace(DEFAULTS, out=str(tmp_path), steps=1, num_documents=400, num_questions=2)
    )
    training.measure_draft(tmp_path)
    assert "| x | 50% | 25% | 2.00 |" in capsys.readouterr().out
    assert "| x | 50% | 25% | 2.00 |" in (tmp_path / "README.md").read_text()
    assert AutoModelForCausalLM.from_pretrained(tmp_path).num_parameters() < 500_000
