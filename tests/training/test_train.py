"""Training learns, saves a folder that loads, and asks the questions at the end."""

import itertools
import json
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from training import evaluate
from training import train as training
from training.hand_written import hand_written_questions
from training.train import Settings, batches, fit, learning_rate_factor, new_model
from training.train_tokenizer import train_tokenizer


def test_the_learning_rate_rises_and_falls_to_zero():
    factors = [learning_rate_factor(i / 1000) for i in range(1001)]
    assert factors[0] > 0
    assert max(factors) == 1
    assert factors[-1] < 1e-9
    assert factors[20:] == sorted(factors[20:], reverse=True)


def test_an_epoch_of_batches_shows_every_row_once():
    rows = torch.arange(12, dtype=torch.int16).view(6, 2)
    epoch = torch.cat(list(itertools.islice(batches(rows, 4, seed=0), 2)))
    assert sorted(epoch.flatten().tolist()) == list(range(12))


def test_the_model_learns_a_repeated_row():
    torch.manual_seed(0)
    tokenizer = train_tokenizer(vocab_size=300, num_documents=20)
    settings = Settings(device="cpu", steps=24, tokens_per_step=64, learning_rate=1e-2)
    rows = np.tile(np.arange(32, dtype=np.int16), (4, 1))
    curve = fit(new_model(tokenizer), dict.fromkeys(training.CYCLE, rows), settings)["loss"]
    assert curve[-1]["loss"] < curve[0]["loss"] / 2


def test_one_command_makes_a_model_folder(tmp_path, monkeypatch, capsys):
    def tiny_tokenizer(seed):
        return train_tokenizer(vocab_size=400, num_documents=100, seed=seed)

    monkeypatch.setattr(training, "train_tokenizer", tiny_tokenizer)
    two_turns = [q for q in hand_written_questions() if q.before][:2]
    monkeypatch.setattr(evaluate, "hand_written_questions", lambda: two_turns)
    monkeypatch.setattr(evaluate, "BEGINNINGS", {"Once upon a time": "Willow Bay"})
    monkeypatch.setattr(evaluate, "variety", partial(evaluate.variety, count=2))
    settings = Settings(
        out=str(tmp_path),
        device="cpu",
        steps=1,
        num_documents=400,
        tokens_per_step=64,
        num_questions=2,
        num_workers=1,
        tokenizer="",
    )
    training.train(settings)
    assert "held-out questions answered right" in capsys.readouterr().out
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config.vocab_size == 400
    run = json.loads((tmp_path / "training_run.json").read_text())
    assert run["num_steps"] == 1
    assert run["evaluation"]["hand_written"]["by_topic"] == {"follow-ups": "0/2"}
    assert "placeholder" in (tmp_path / "README.md").read_text()

    further = replace(settings, out=str(tmp_path / "further"), tokenizer=str(tmp_path))
    run = training.train(replace(further, weights=str(tmp_path)))
    assert [before["num_steps"] for before in run["before"]] == [1]
    assert ", in 2 runs" in (tmp_path / "further" / "README.md").read_text()
