"""From a model's folder to a runner: the weights, the options of the device, and why.

Read next: `runners/build.py`, `models/loader.py`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.layers.split import Ranks
from nanovllm_edu.models.loader import load_model
from nanovllm_edu.native.threads import map_on_threads, torch_limited_to
from nanovllm_edu.runners.build import (
    RuntimeInfo,
    build_runner,
    choose_device,
    choose_dtype,
    choose_ops,
)
from nanovllm_edu.runners.defaults import device_defaults
from nanovllm_edu.runners.eager import EagerRunner


def load_runner(
    folder: Path,
    config: EngineConfig,
    options: dict[str, Any],
    eos_token_ids: frozenset[int],
    ranks: Ranks | None = None,
) -> tuple[EagerRunner, EngineConfig, RuntimeInfo]:
    """Loads a model and builds a runner for it.

    Args:
        folder: Of the model.
        config: The options.
        options: Those that somebody asked for; the others get the device's defaults.
        eos_token_ids: The tokenizer's ends of a text, beside the model's.
        ranks: Who shares the model; None: nobody.

    Returns:
        The runner, the options with the device's defaults, and why all of it was chosen.

    Raises:
        NanoVLLMError: An option is wrong, or the model cannot be read.
    """
    device, why_device = choose_device(config.device)
    dtype, why_dtype = choose_dtype(config.dtype, device)
    ops, why_ops = choose_ops(device, dtype)
    # Not by torch's threads: for many small copies, waking them would take longer.
    with torch_limited_to(1), map_on_threads() as each:
        weights = load_model(
            folder,
            dtype=dtype,
            device=device,
            ops=ops,
            max_model_len=config.max_model_len,
            ranks=ranks,
            each=each if device.type == "cpu" else map,
        )
    defaults = device_defaults(device, weights.config)
    chosen = {name: both for name, both in defaults.items() if name not in options}
    config = replace(config, **{name: value for name, (value, _) in chosen.items()})
    eos = frozenset(weights.config.eos_token_ids) | eos_token_ids
    reasons = {"device": why_device, "dtype": why_dtype, "ops": why_ops}
    runner, info = build_runner(weights, config, eos, reasons)
    for name, (value, why) in chosen.items():
        info = info.plus(name, str(value), why)
    return runner, config, info
