"""Which class computes which checkpoint, and what a model folder says about itself.

A new family is a class with a `read_config` and a line in `MODELS`.

Read next: `folder.py` (where model folders come from), `loader.py` (how weights get into them).
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.models.config import ModelConfig, as_token_ids
from nanovllm_edu.models.llama import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MODELS: dict[str, type[Qwen3ForCausalLM]] = {
    "LlamaForCausalLM": LlamaForCausalLM,
    "MistralForCausalLM": MistralForCausalLM,
    "Qwen2ForCausalLM": Qwen2ForCausalLM,
    "Qwen3ForCausalLM": Qwen3ForCausalLM,
}


def model_class(architecture: str) -> type[Qwen3ForCausalLM]:
    """Look an architecture up.

    Raises:
        ModelLoadError: It is not one that is computed here.
    """
    if architecture not in MODELS:
        raise ModelLoadError(
            f"architecture {architecture!r} is not supported; supported are "
            f"{', '.join(MODELS)}. Choose a model of one of these, or write its class and add it "
            "to MODELS in nanovllm_edu/models/registry.py."
        )
    return MODELS[architecture]


def read_config(folder: Path) -> ModelConfig:
    """Read `config.json`, and the end-of-text tokens of `generation_config.json`, from a folder.

    Raises:
        ModelLoadError: There is no readable config, or it describes an unsupported model.
    """
    source = _transformers_config(folder)
    config = model_class((source.architectures or [""])[0]).read_config(source)
    eos_token_ids = _generation_eos_token_ids(folder)
    return dataclasses.replace(config, eos_token_ids=eos_token_ids or config.eos_token_ids)


def _transformers_config(folder: Path) -> "PreTrainedConfig":
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise ModelLoadError(
            f"{folder} has no config.json, so it is no Hugging Face model folder. Name a folder "
            "with config.json, tokenizer files and *.safetensors, or a model on the hub."
        )
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        # Whatever a parser of other people's files raises, it means: this file cannot be used.
        raise ModelLoadError(
            f"{folder / 'config.json'} cannot be used: {error} Download it again or correct it."
        ) from error


def _generation_eos_token_ids(folder: Path) -> tuple[int, ...]:
    """Chat models name their end-of-turn token here, in addition to the end of a text."""
    path = folder / "generation_config.json"
    if not path.is_file():
        return ()
    try:
        return as_token_ids(json.loads(path.read_text("utf-8")).get("eos_token_id"))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelLoadError(f"{path} is not valid: {error}. Download it again.") from error
