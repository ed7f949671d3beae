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
