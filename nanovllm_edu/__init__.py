"""An LLM inference engine to learn from: step it, see inside it, change it.

    from nanovllm_edu import LLM, SamplingParams

    llm = LLM()
    print(llm.generate(["What is a KV cache?"], SamplingParams(temperature=0))[0].text)

This module holds the public names and loads each one when it is first used: importing the package
costs nothing, and neither torch nor a notebook library is imported before it is needed.

Read next, in the order of a request: `core/plan.py`, `core/schedule/scheduler.py`,
`core/memory/block_manager.py`, `engine.py`, `runners/checksum.py`, `paged/batch.py`,
`attention/reference.py`, `models/qwen3.py`, `sampling/sampler.py`, `runners/cuda_graph.py`; then
`llm.py`, which puts them together.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanovllm_edu.async_llm import AsyncLLM as AsyncLLM
    from nanovllm_edu.config import EngineConfig as EngineConfig
    from nanovllm_edu.core.engine_state import EngineState as EngineState
    from nanovllm_edu.core.memory.eviction import FIFO as FIFO
    from nanovllm_edu.core.memory.eviction import LRU as LRU
    from nanovllm_edu.core.request.sampling_params import SamplingParams as SamplingParams
    from nanovllm_edu.core.request.sampling_params import sample_seed as sample_seed
    from nanovllm_edu.core.request.structured_outputs import (
        StructuredOutputsParams as StructuredOutputsParams,
    )
    from nanovllm_edu.core.schedule.ngram_proposer import NgramProposer as NgramProposer
    from nanovllm_edu.core.schedule.policy import MixedPolicy as MixedPolicy
    from nanovllm_edu.core.schedule.policy import PhaseSeparatedPolicy as PhaseSeparatedPolicy
    from nanovllm_edu.core.step_record import StepRecord as StepRecord
    from nanovllm_edu.engine import LLMEngine as LLMEngine
    from nanovllm_edu.errors import NanoVLLMError as NanoVLLMError
    from nanovllm_edu.llm import LLM as LLM
    from nanovllm_edu.model_proposer import ModelProposer as ModelProposer
    from nanovllm_edu.outputs import RequestOutput as RequestOutput
    from nanovllm_edu.runners.checksum import ChecksumRunner as ChecksumRunner

__version__ = "0.1.0"

_HOME_OF = {
    "LLM": "llm",
    "AsyncLLM": "async_llm",
    "RequestOutput": "outputs",
    "SamplingParams": "core.request.sampling_params",
    "sample_seed": "core.request.sampling_params",
    "StructuredOutputsParams": "core.request.structured_outputs",
    "EngineConfig": "config",
    "LLMEngine": "engine",
    "StepRecord": "core.step_record",
    "EngineState": "core.engine_state",
    "MixedPolicy": "core.schedule.policy",
    "PhaseSeparatedPolicy": "core.schedule.policy",
    "NgramProposer": "core.schedule.ngram_proposer",
    "ModelProposer": "model_proposer",
    "LRU": "core.memory.eviction",
    "FIFO": "core.memory.eviction",
    "ChecksumRunner": "runners.checksum",
    "NanoVLLMError": "errors",
}
"""Public name -> module in which it lives."""

__all__ = ["__version__", *_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first asked for (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _garbage_stays():
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


@contextmanager
def _garbage_stays() -> Iterator[None]:
    """Nothing is collected while torch is imported, and what that makes is never looked at.

    These are 160,000 objects that stay. Python would go through them again and again to find
    garbage: a tenth of the time that importing takes, and now and then a pause later.
    """
    if not gc.isenabled() or "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
        if "torch" in sys.modules:
            gc.freeze()
    finally:
        gc.enable()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
