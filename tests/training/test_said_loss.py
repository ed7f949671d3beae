"""The loss counts what a model says: answers and plain text."""

import torch
from transformers import AutoTokenizer

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from training.said_loss import SaidLoss
from training.tokens import render


def test_what_a_model_says_is_answers_and_plain_text():
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL_FOLDER)
    chat = [
        {"role": "system", "content": "Be polite."},
        {"role": "user", "content": "Who bakes bread?"},
        {"role": "assistant", "content": "The baker does."},
        {"role": "user", "content": "Who else?"},
        {"role": "assistant", "content": "Nobody."},
    ]
    text = render(chat) + render("Once upon a time") + render(chat[1:2])
    row = torch.tensor([tokenizer.encode(text)])
    said = SaidLoss(tokenizer).is_said(row)
    assert tokenizer.decode(row[said]) == (
        "\n\nThe baker does.<|im_end|>\n\nNobody.<|im_end|>\nOnce upon a time<|im_end|>\n"
    )


def test_only_words_of_users_are_garbled():
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL_FOLDER)
    chat = [
        {"role": "user", "content": "Who bakes the bread in the village by the sea?"},
        {"role": "assistant", "content": "The baker does."},
    ]
    rows = torch.tensor([tokenizer.encode(render(chat))] * 200)
    loss = SaidLoss(tokenizer, garbled=0.2)
    torch.manual_seed(0)
    changed = loss.garble(rows) != rows
    asked = len(tokenizer.encode("<|im_start|>user\n"))
    words = len(tokenizer.encode(chat[0]["content"]))
    assert not changed[:, :asked].any()
    assert not changed[:, asked + words :].any()
    assert 0.05 < changed[:, asked : asked + words].float().mean() < 0.15  # some became themselves
    assert 60 < changed.any(1).sum() < 140  # every second turn
    assert torch.equal(SaidLoss(tokenizer).garble(rows), rows)
