"""Forking: the parts of an engine once more, in the same state, with some options changed.

    the cache can be kept      it is copied, and every sequence goes on where it is
    the cache cannot be kept   it starts empty, and every sequence is computed anew

Either way nothing is shared but the weights.

Read next: `engine.py`, whose `fork` puts the parts together.
"""

from copy import deepcopy
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.model_runner import ModelRunner
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.limits import build_scheduler

KEEPS_CACHE = {
    "policy",
    "max_num_batched_tokens",
    "enable_chunked_prefill",
    "prefill_chunk_size",
    "draft_proposer",
    "seed",
}
"""Options a fork may change while its sequences go on where they are."""

NEEDS_RECOMPUTE = {
    "block_size",
    "num_blocks",
    "enable_prefix_caching",
    "prefix_cache",
    "eviction_policy",
}
"""Options a fork may change at the price of computing its sequences anew."""


class Parts(NamedTuple):
    """What an engine is put together from."""

    runner: ModelRunner
    config: EngineConfig
    scheduler: Scheduler


def fork_parts(parts: Parts, changes: dict[str, Any]) -> Parts:
    """Parts of their own, in the same state under the changed options.

    Raises:
        ConfigError: Another option was to be changed, or a value is out of range.
        PromptTooLongError: A sequence does not fit a smaller pool.
    """
    unknown = changes.keys() - KEEPS_CACHE - NEEDS_RECOMPUTE
    if unknown:
        raise ConfigError(
            f"fork() cannot change {sorted(unknown)}; it can change "
            f"{sorted(KEEPS_CACHE | NEEDS_RECOMPUTE)}."
        )
    if changes.keys() & NEEDS_RECOMPUTE:
        return _anew(parts, changes)
    return _copied(parts, changes)


def _copied(parts: Parts, changes: dict[str, Any]) -> Parts:
    config = replace(parts.config, **changes)
    scheduler = parts.scheduler.fork(
        policy=changes.get("policy"),
        max_num_batched_tokens=config.max_num_batched_tokens,
        enable_chunked_prefill=config.enable_chunked_prefill,
        prefill_chunk_size=config.prefill_chunk_size,
    )
    scheduler.draft_proposer = config.draft_proposer
    return Parts(parts.runner.fork(), replace(config, policy=scheduler.policy), scheduler)


def _anew(parts: Parts, changes: dict[str, Any]) -> Parts:
    # The policy may be a user's object with a state of its own: the twin gets a copy.
    own_policy = deepcopy(parts.scheduler.policy)
    config = replace(parts.config, **{"policy": own_policy, **changes})
    runner = parts.runner.fork(
        num_blocks=changes.get("num_blocks") or parts.runner.num_blocks,
        block_size=changes.get("block_size") or parts.runner.block_size,
    )
    scheduler = build_scheduler(config, runner)
    for seq in chain(parts.scheduler.running.values(), parts.scheduler.waiting.values()):
        scheduler.add(seq.restarted())
    return Parts(runner, config, scheduler)
