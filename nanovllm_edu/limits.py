"""The limits of an engine: what its model, its pool of blocks and its options allow together.

They are found once, when the engine is made, so that no sequence can outgrow the pool later and
wait for ever: `Scheduler.add` refuses what does not fit, with the numbers and the remedy.

Read next: `engine.py`.
"""

from dataclasses import replace
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import counted
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.model_runner import ModelRunner
from nanovllm_edu.core.schedule.draft_proposer import DraftProposer
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.errors import ConfigError, shown

RUNNERS_OWN = (
    "num_blocks",
    "block_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "prefill_chunk_size",
)
"""What a runner may say of itself, for engines that are not told otherwise."""

WHO_HAS_THE_MODEL_DECIDES = (
    "dtype",
    "weight_dtype",
    "device",
    "attention_backend",
    "gpu_memory_utilization",
    "enforce_eager",
    "tensor_parallel_size",
)
"""Options that an engine cannot set for a runner that is there already."""


def with_own(config: EngineConfig, runner: ModelRunner, options: dict[str, Any]) -> EngineConfig:
    """The config with what a runner says of itself, where nobody asked for anything else.

    Args:
        config: What the runner was made with.
        runner: It says all of `RUNNERS_OWN`.
        options: Those that somebody asked for.
    """
    own = {name: getattr(runner, name) for name in RUNNERS_OWN if name not in options}
    return replace(config, **own)


def config_for(runner: ModelRunner, options: dict[str, Any]) -> EngineConfig:
    """The options of an engine around a runner that is there already: left out, they are its own.

    Raises:
        ConfigError: An option is unknown, out of range, or another one than the runner's.
    """
    own = {name: getattr(runner, name) for name in RUNNERS_OWN if hasattr(runner, name)}
    config = EngineConfig.from_options({**own, **options})
    default = EngineConfig()
    for name in WHO_HAS_THE_MODEL_DECIDES:
        if getattr(config, name) != getattr(default, name):
            raise ConfigError(
                f"{name}={shown(getattr(config, name))} is for who has the model, and {runner!r} "
                "has it already; leave it out."
            )
    for name in ("num_blocks", "block_size"):
        if getattr(config, name) != own[name]:
            raise ConfigError(
                f"{name}={getattr(config, name)}, and {runner!r} has {own[name]}; leave it out."
            )
    return config


def build_scheduler(config: EngineConfig, runner: ModelRunner) -> Scheduler:
    """A scheduler with these options that keeps to what the runner can hold.

    Raises:
        ConfigError: `max_model_len` exceeds the model or the pool, or chunked prefill is off and a
            longest prompt would not fit a step. Or guesses are of another vocabulary, or steps
            may become larger than the runner takes.
    """
    _check_same_vocabulary(config.draft_proposer, runner.vocab_size)
    _check_room(config, runner)
    manager = BlockManager(
        runner.num_blocks,
        runner.block_size,
        prefix_cache=config.prefix_cache if config.enable_prefix_caching else None,
        eviction_policy=config.eviction_policy,
    )
    return Scheduler(
        manager,
        policy=config.policy,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        max_model_len=longest_sequence(config, runner),
        enable_chunked_prefill=config.enable_chunked_prefill,
        eos_token_ids=runner.eos_token_ids,
        draft_proposer=config.draft_proposer,
        vocab_size=runner.vocab_size,
        prefill_chunk_size=config.prefill_chunk_size,
    )


def longest_sequence(config: EngineConfig, runner: ModelRunner) -> int:
    """The longest sequence that model and pool allow, so that none can outgrow the pool.

    Raises:
        ConfigError: As in `build_scheduler`.
    """
    num_slots = runner.num_blocks * runner.block_size
    asked = config.max_model_len
    if asked is not None and asked > runner.max_model_len:
        raise ConfigError(
            f"max_model_len={asked} exceeds the {runner.max_model_len} positions of the model; "
            "lower it."
        )
    if asked is not None and asked > num_slots:
        raise ConfigError(
            f"max_model_len={asked} exceeds the KV cache: {runner.num_blocks} blocks of "
            f"{runner.block_size} hold {num_slots} tokens; lower it or raise num_blocks."
        )
    longest = asked or min(runner.max_model_len, num_slots)
    if longest < 2:
        raise ConfigError(
            f"the KV cache holds {counted(num_slots, 'token')}: too few for a prompt and one new "
            "token; raise num_blocks or block_size."
        )
    if not config.enable_chunked_prefill and longest > config.max_num_batched_tokens:
        raise ConfigError(
            f"without chunked prefill a whole sequence (max_model_len={longest}) must fit one "
            f"step (max_num_batched_tokens={config.max_num_batched_tokens}); raise the latter, "
            "lower the former, or set enable_chunked_prefill=True."
        )
    return longest


def _check_room(config: EngineConfig, runner: ModelRunner) -> None:
    """A runner may say how large a step can be: one that was made for another engine's steps."""
    for name in ("max_num_seqs", "max_num_batched_tokens"):
        asked, most = getattr(config, name), getattr(runner, name, None)
        if most is not None and asked > most:
            raise ConfigError(f"{name}={asked}, and {runner!r} has room for {most}; lower it.")


def _check_same_vocabulary(proposer: DraftProposer | None, vocab_size: int) -> None:
    """A proposer that has a vocabulary must have this one."""
    own = getattr(proposer, "vocab_size", vocab_size)
    if own != vocab_size:
        raise ConfigError(
            f"draft_proposer={shown(proposer)} guesses among {own} tokens, and the model has "
            f"{vocab_size}; take a draft model of the same family, with the same tokenizer."
        )
