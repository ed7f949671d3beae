"""vLLM built for a CPU."""

import os
from pathlib import Path

PACKAGE = "vllm"
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; else a share of the whole memory


def prepare(folder: Path) -> None:
    """Nothing: the folder is read as it is."""


class Engine:
    """`LLM` with its defaults, but for the float32 and the tokenizer, which nobody is asked for."""

    def __init__(self, folder: Path) -> None:
        from vllm import LLM

        self._llm = LLM(
            str(folder), dtype="float32", skip_tokenizer_init=True, max_model_len=2048, seed=0
        )

    def generate(self, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
        """All at once."""
        from vllm import SamplingParams

        params = [
            SamplingParams(temperature=0, ignore_eos=True, max_tokens=n, detokenize=False)
            for n in lengths
        ]
        inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
        outputs = self._llm.generate(inputs, params, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]
