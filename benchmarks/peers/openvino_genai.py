"""OpenVINO GenAI's continuous batching; the model is converted by optimum-intel."""

import subprocess
import sys
from pathlib import Path

import numpy as np

PACKAGE = "openvino_genai"


def prepare(folder: Path) -> None:
    """Converts the model, its weights in float32, and the tokenizer that the pipeline wants."""
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", "export", "openvino"]
    options = ["--task", "text-generation-with-past", "--weight-format", "fp32"]
    target = str(folder / "openvino")
    subprocess.run([*command, *options, "--model", str(folder), target], check=True)


class Engine:
    """`ContinuousBatchingPipeline` with its defaults, and a prefix cache."""

    def __init__(self, folder: Path) -> None:
        import openvino_genai as genai

        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = 1  # GiB
        scheduler.enable_prefix_caching = True
        self._pipeline = genai.ContinuousBatchingPipeline(
            str(folder / "openvino"), scheduler, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )

    def generate(self, prompts: list[list[int]], lengths: list[int]) -> list[list[int]]:
        """All at once."""
        import openvino as ov
        import openvino_genai as genai

        configs = []
        for length in lengths:
            config = genai.GenerationConfig()
            config.max_new_tokens = config.min_new_tokens = length
            config.ignore_eos, config.do_sample = True, False
            configs.append(config)
        inputs = [ov.Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
        outputs = self._pipeline.generate(inputs, configs)
        return [list(output.m_generation_ids[0]) for output in outputs]
