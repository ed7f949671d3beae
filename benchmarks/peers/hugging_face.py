"""transformers: `generate` on static batches, in order of arrival, padded on the left."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

PACKAGE = "transformers"
MOST = 16
"""Requests of a batch."""


def prepare(folder: Path) -> None:
    """Nothing: the folder is read as it is."""


class Engine:
    """`generate` with its defaults."""

    def __init__(self, folder: Path) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model.generation_config.eos_token_id = None
        self._model.config.eos_token_id = None

    def generate(self, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
        """A batch runs until its longest request is done."""
        batches = range(0, len(prompts), MOST)
        outputs = (self._batch(prompts[i : i + MOST], lengths[i : i + MOST]) for i in batches)
        return [output for batch in outputs for output in batch]

    def _batch(self, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        output = self._model.generate(
            torch.tensor([[0] * n + prompt for n, prompt in zip(padding, prompts, strict=True)]),
            attention_mask=torch.tensor([[0] * n + [1] * (width - n) for n in padding]),
            max_new_tokens=max(lengths),
            do_sample=False,
            pad_token_id=0,
        )
        return [row[width : width + n].tolist() for row, n in zip(output, lengths, strict=True)]
