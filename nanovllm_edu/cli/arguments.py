"""Options shared by the commands: how they are written, and what they become.

Options keep the names of `EngineConfig` and `SamplingParams`. This module checks the spelling;
those two check the values. Read next: `main.py`.
"""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanovllm_edu.core.request.sampling_params import SamplingParams
    from nanovllm_edu.llm import LLM

_ENGINE_NUMBERS = {
    "block_size": (int, "tokens per KV block"),
    "num_blocks": (int, "KV blocks in the pool; left out: as many as fit"),
    "max_num_seqs": (int, "sequences that may run at once"),
    "max_num_batched_tokens": (int, "token budget of one step"),
    "max_model_len": (int, "longest sequence, prompt and output"),
    "gpu_memory_utilization": (float, "fraction of the GPU's memory to use"),
    "seed": (int, "where random numbers come from"),
}
_ENGINE_WORDS = {
    "dtype": "auto, float32, bfloat16 or float16",
    "device": "auto, cpu or cuda",
    "attention_backend": "auto, reference, sdpa, native, triton or flash",
}
_SAMPLING_NUMBERS = {
    "max_tokens": (int, "generate at most this many tokens"),
    "temperature": (float, "0 always takes the likeliest token; 1 is the model's own odds"),
    "top_k": (int, "keep the k likeliest tokens; 0 keeps all"),
    "top_p": (float, "keep the likeliest tokens that reach this probability"),
    "min_p": (float, "keep tokens at least this many times as likely as the likeliest"),
    "repetition_penalty": (float, "above 1: less of what was said already"),
    "presence_penalty": (float, "subtracted once from tokens in the output"),
    "frequency_penalty": (float, "subtracted per occurrence in the output"),
}


def add_engine_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds `--model` and the fields of `EngineConfig`."""
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--model", default="tiny", help="tiny (in the box), a model folder, or a hub name"
    )
    for name, (kind, text) in _ENGINE_NUMBERS.items():
        _add(group, name, kind, text, defaults.get(name))
    for name, text in _ENGINE_WORDS.items():
        _add(group, name, str, text, defaults.get(name))
    group.add_argument("--policy", choices=("mixed", "phase-separated"), help="who goes first")
    group.add_argument("--eviction-policy", choices=("lru", "fifo"), help="which block goes first")
    for name, text in (
        ("prefix-caching", "share and find blocks by content"),
        ("chunked-prefill", "cut long prompts to fit a step"),
    ):
        group.add_argument(f"--no-{name}", action="store_true", help=f"do not {text}")
    group.add_argument("--enforce-eager", action="store_true", help="no CUDA graphs")


def add_sampling_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds the fields of `SamplingParams`. Greedy unless told otherwise."""
    defaults = {"temperature": 0.0, **defaults}
    group = parser.add_argument_group("sampling")
    for name, (kind, text) in _SAMPLING_NUMBERS.items():
        _add(group, name, kind, text, defaults.get(name))
    group.add_argument("--stop", action="append", metavar="TEXT", help="end at this text")
    group.add_argument("--ignore-eos", action="store_true", help="go on after end of sequence")


def sampling_params(arguments: argparse.Namespace) -> "SamplingParams":
    """The sampling options that were given.

    Raises:
        ConfigError: One is out of range.
    """
    from nanovllm_edu.core.request.sampling_params import SamplingParams

    options = _given(arguments, _SAMPLING_NUMBERS)
    return SamplingParams(
        stop=tuple(arguments.stop or ()), ignore_eos=arguments.ignore_eos, **options
    )


def engine_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `EngineConfig` that were given."""
    from nanovllm_edu.core.memory.eviction import FIFO, LRU
    from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy

    options = _given(arguments, {**_ENGINE_NUMBERS, **_ENGINE_WORDS})
    if arguments.policy:
        is_mixed = arguments.policy == "mixed"
        options["policy"] = MixedPolicy() if is_mixed else PhaseSeparatedPolicy()
    if arguments.eviction_policy:
        options["eviction_policy"] = {"lru": LRU, "fifo": FIFO}[arguments.eviction_policy]
    options["enable_prefix_caching"] = not arguments.no_prefix_caching
    options["enable_chunked_prefill"] = not arguments.no_chunked_prefill
    options["enforce_eager"] = arguments.enforce_eager
    return options


def make_llm(arguments: argparse.Namespace) -> "LLM":
    """Loads the model that was asked for. Imports torch, so it takes a moment.

    Raises:
        NanoVLLMError: An option is wrong or the model cannot be read.
    """
    from nanovllm_edu.config import EngineConfig

    options = engine_options(arguments)
    EngineConfig.from_options(options)  # a wrong option is told before the slow imports
    from nanovllm_edu.llm import LLM

    return LLM(arguments.model, **options)


def _add(group: Any, name: str, kind: type, text: str, default: Any) -> None:
    if default is not None:
        text += f" (default {default})"
    metavar = {int: "N", float: "X", str: "NAME"}[kind]
    option = "--" + name.replace("_", "-")
    group.add_argument(option, type=kind, default=default, metavar=metavar, help=text)


def _given(arguments: argparse.Namespace, names: Any) -> dict[str, Any]:
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
