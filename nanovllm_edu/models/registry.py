"""Which class computes which checkpoint, and what a model folder says about itself.

A new family is a class with a `read_config` and a line in `MODELS`.

Read next: `folder.py` (where model folders come from), `loader.py` (how weights get into them).
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import ConfigError, ModelLoadError, shown
from nanovllm_edu.models.complete_config import complete
from nanovllm_edu.models.config import ModelConfig, as_token_ids, check_size
from nanovllm_edu.models.json_file import read_json
from nanovllm_edu.models.llama import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.models.rope import check_rope_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MODELS: dict[str, type[Qwen3ForCausalLM]] = {
    "LlamaForCausalLM": LlamaForCausalLM,
    "MistralForCausalLM": MistralForCausalLM,
    "Qwen2ForCausalLM": Qwen2ForCausalLM,
    "Qwen3ForCausalLM": Qwen3ForCausalLM,
}

_OUR_FAMILIES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_SUFFIX = "ForCausalLM"
_BASE_SUFFIX = "Model"
"""What is saved without its output matrix has this at the end of its name."""
GENERATION_CONFIG = "generation_config.json"


def model_class(architecture: str) -> type[Qwen3ForCausalLM]:
    """Look an architecture up.

    Raises:
        ModelLoadError: It is not one that is computed here.
    """
    if architecture not in MODELS:
        raise ModelLoadError(
            f"architecture {shown(architecture)} is not supported; supported are "
            f"{', '.join(MODELS)}. Choose a model of one of these, or write its class and add it "
            "to MODELS in nanovllm_edu/models/registry.py."
        )
    return MODELS[architecture]


def read_config(folder: Path) -> ModelConfig:
    """Read `config.json`, and the end-of-text tokens of `generation_config.json`, from a folder.

    Raises:
        ModelLoadError: There is no readable config, or it describes an unsupported model.
    """
    path = folder / "config.json"
    written = _written_config(path)
    family = model_class(_architecture(written, path))
    source: Any = complete(written) or _transformers_config(path)
    try:
        config = family.read_config(source)
    except (TypeError, ValueError, ZeroDivisionError, AttributeError, OverflowError) as error:
        raise _unusable(path, error) from error
    eos_token_ids = _generation_eos_token_ids(folder)
    return dataclasses.replace(config, eos_token_ids=eos_token_ids or config.eos_token_ids)


def sampling_defaults(folder: Path) -> dict[str, Any]:
    """The sampling options that a model's authors recommend, in `generation_config.json`.

    They hold where a caller gives no `SamplingParams`, as in vLLM. `do_sample` is no option: a
    temperature of 0 is how to ask for the likeliest token.

    Raises:
        ModelLoadError: The file is damaged, or a value in it is out of range.
    """
    path = folder / GENERATION_CONFIG
    if not path.is_file():
        return {}
    written = read_json(path)
    recommended = {
        ours: written[theirs]
        for theirs, ours in _SAMPLING_OPTIONS.items()
        if written.get(theirs) is not None
    }
    try:
        params = SamplingParams(**recommended)
    except ConfigError as error:
        raise ModelLoadError(f"{path} cannot be used: {error} Correct it.") from error
    return {name: getattr(params, name) for name in recommended}


_SAMPLING_OPTIONS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
    "max_new_tokens": "max_tokens",
}
"""Their names in `generation_config.json`, and ours."""


def _written_config(path: Path) -> dict[str, Any]:
    """The config as it is written, with sizes that can be looked at safely."""
    if not path.is_file():
        raise ModelLoadError(
            f"{path.parent} has no config.json, so it is no Hugging Face model folder. Name a "
            "folder with config.json, tokenizer files and *.safetensors, or a model on the hub."
        )
    written = read_json(path)
    if isinstance(num_layers := written.get("num_hidden_layers"), int):
        check_size("num_hidden_layers", num_layers, 10_000)  # transformers lists them all
    for numbers in (written, written.get("rope_parameters"), written.get("rope_scaling")):
        check_rope_numbers(numbers if isinstance(numbers, dict) else {})
    return written


def _architecture(written: dict[str, Any], path: Path) -> str:
    """The class that a config names, or that its family has where it names none."""
    named, model_type = written.get("architectures"), written.get("model_type")
    usual = _usual_class(model_type) if isinstance(model_type, str) else None
    if not named and isinstance(usual, str):
        return usual
    if not named or not isinstance(named, list) or not isinstance(named[0], str):
        raise ModelLoadError(
            f"{path} names neither an architecture (architectures is {shown(named)}) nor a known "
            f"model_type ({shown(model_type)}); supported are {', '.join(MODELS)}."
        )
    architecture = named[0]
    if architecture.removesuffix(_BASE_SUFFIX) + _SUFFIX in MODELS:
        architecture = architecture.removesuffix(_BASE_SUFFIX) + _SUFFIX
    if architecture in MODELS and usual is not None and usual != architecture:
        raise ModelLoadError(
            f"{path} contradicts itself: architectures names {architecture}, and model_type is "
            f"{model_type!r}, whose class is {usual}. Correct one of them."
        )
    return architecture


def _usual_class(model_type: str) -> str | None:
    """What computes a family: ours are known here, and transformers knows the others."""
    usual = _OUR_FAMILIES.get(model_type)
    if usual is None:
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        usual = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
    return usual


def _transformers_config(path: Path) -> "PreTrainedConfig":
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(
            path.parent, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:
        # Whatever a parser of other people's files raises, it means: this file cannot be used.
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> ModelLoadError:
    return ModelLoadError(f"{path} cannot be used: {error!s:.500} Download it again or correct it.")


def _generation_eos_token_ids(folder: Path) -> tuple[int, ...]:
    """Chat models name their end-of-turn token here, in addition to the end of a text."""
    path = folder / GENERATION_CONFIG
    if not path.is_file():
        return ()
    try:
        return as_token_ids(read_json(path).get("eos_token_id"))
    except ValueError as error:
        raise ModelLoadError(f"{path} is not valid: {error}. Download it again.") from error
