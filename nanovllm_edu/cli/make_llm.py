"""From options to an engine with its model.

Read next: `arguments.py`, which says how the options are written.
"""

import argparse
import os
from typing import Any

from nanovllm_edu.cli.arguments import (
    ENGINE_NUMBERS,
    ENGINE_WORDS,
    RUNNER_KEY,
    RUNNER_NUMBERS,
    SAMPLING_NUMBERS,
)
from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.model_runner import ModelRunner
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.draft_proposer import DraftProposer
from nanovllm_edu.core.schedule.fair_policy import FairPolicy
from nanovllm_edu.core.schedule.ngram_proposer import NgramProposer
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.llm import LLM
from nanovllm_edu.model_proposer import ModelProposer
from nanovllm_edu.runners.remote import RemoteRunner

POLICIES = {"mixed": MixedPolicy, "phase-separated": PhaseSeparatedPolicy, "fair": FairPolicy}


def sampling_params(arguments: argparse.Namespace) -> SamplingParams:
    """The sampling options that were given.

    Raises:
        ConfigError: One is out of range.
    """
    options = _given(arguments, SAMPLING_NUMBERS)
    return SamplingParams(
        stop=tuple(arguments.stop or ()), ignore_eos=arguments.ignore_eos, **options
    )


def check_engine_options(arguments: argparse.Namespace) -> None:
    """Refuses what is wrong before any model is loaded, the small one that guesses included.

    Raises:
        ConfigError: An option is out of range, or two contradict.
    """
    EngineConfig.from_options(_without_draft(arguments))


def engine_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `EngineConfig` that were given."""
    options = _without_draft(arguments)
    if arguments.draft:
        options["draft_proposer"] = draft_proposer(arguments)
    return options


def _without_draft(arguments: argparse.Namespace) -> dict[str, Any]:
    options = _given(arguments, {**ENGINE_NUMBERS, **ENGINE_WORDS})
    if arguments.policy:
        options["policy"] = POLICIES[arguments.policy]()
    if arguments.eviction_policy:
        options["eviction_policy"] = {"lru": LRU, "fifo": FIFO}[arguments.eviction_policy]
    options["enable_prefix_caching"] = not arguments.no_prefix_caching
    options["enable_chunked_prefill"] = not arguments.no_chunked_prefill
    options["enforce_eager"] = arguments.enforce_eager
    return options


def draft_proposer(arguments: argparse.Namespace) -> DraftProposer:
    """Who guesses, on the device and in the dtype of the large model.

    Raises:
        NanoVLLMError: An option is wrong or the small model cannot be read.
    """
    if arguments.draft == "ngram":
        return NgramProposer(arguments.draft_tokens)
    options = _given(arguments, ("dtype", "device", "max_num_seqs", "enforce_eager"))
    return ModelProposer(arguments.draft, arguments.draft_tokens, **options)


def make_llm(arguments: argparse.Namespace, runner: ModelRunner | None = None) -> LLM:
    """Loads the model that was asked for.

    Args:
        arguments: Of the command line.
        runner: Has the model already.

    Raises:
        NanoVLLMError: An option is wrong or the model cannot be read.
    """
    check_engine_options(arguments)
    options = engine_options(arguments)
    if arguments.runner:
        runner = RemoteRunner(arguments.runner, api_key=os.environ.get(RUNNER_KEY))
    return LLM(arguments.model, runner=runner, **options)


def runner_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `EngineConfig` that were given for a model without an engine."""
    options = _given(arguments, {**dict.fromkeys(RUNNER_NUMBERS), **ENGINE_WORDS})
    return options | {"enforce_eager": arguments.enforce_eager}


def _given(arguments: argparse.Namespace, names: Any) -> dict[str, Any]:
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
