"""This package."""

from pathlib import Path

from nanovllm_edu import LLM, SamplingParams

PACKAGE = "nanovllm_edu"


def prepare(folder: Path) -> None:
    """Nothing: the folder is read as it is."""


class Engine:
    """`LLM` with its defaults."""

    def __init__(self, folder: Path) -> None:
        self._llm = LLM(str(folder), device="cpu", dtype="float32")

    def generate(self, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
        """All at once."""
        params = [SamplingParams(temperature=0, ignore_eos=True, max_tokens=n) for n in lengths]
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        return [list(output.token_ids) for output in outputs]
