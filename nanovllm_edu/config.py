"""`EngineConfig`: every option of the engine, frozen, checked once.

What the user asked for, nothing else: what is *measured* at start (how many KV blocks fit, which
backend was chosen) is a result of building a runner and is never written back here.

Read next: `limits.py`, then `engine.py`.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Self

from nanovllm_edu.core.memory.block_manager import PREFIX_CACHES
from nanovllm_edu.core.memory.eviction import LRU, EvictionPolicy
from nanovllm_edu.core.request.option_checks import INT32_END, as_integer
from nanovllm_edu.core.schedule.draft_proposer import DraftProposer
from nanovllm_edu.core.schedule.policy import MixedPolicy, SchedulingPolicy
from nanovllm_edu.errors import ConfigError, shown, unknown_option

DTYPES = ("auto", "float32", "bfloat16", "float16")
WEIGHT_DTYPES = ("auto", "int8")
ATTENTION_BACKENDS = ("auto", "reference", "sdpa", "native", "triton", "hopper", "flash")

MAX_ROWS = 2**20
"""Each is a Python integer in a list before it is memory on a device."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Options with vLLM's names where vLLM has them.

    The defaults suit a CPU; `runners/defaults.py` has those of a GPU.

    Attributes:
        block_size: Tokens per KV block, any number >= 1 (flash-attn: a multiple of 256).
        num_blocks: KV blocks in the pool; None measures how many fit (see `runners/memory.py`).
        max_num_seqs: At most this many sequences run at once.
        max_num_batched_tokens: Token budget of one step.
        max_model_len: Longest sequence, prompt and output; None takes what the model and the pool
            allow.
        enable_prefix_caching: Find and share blocks by content.
        prefix_cache: How they are found: "hash" (an index of chained hashes) or "radix" (a tree).
        enable_chunked_prefill: Cut prompts that exceed what is left of a step's budget.
        prefill_chunk_size: Tokens of prompts in a step in which somebody decodes, who waits for
            them; None sets no limit of its own. A queue of more than 16 times as many raises it.
        policy: Who goes first (`MixedPolicy()`, `PhaseSeparatedPolicy()` or your own).
        eviction_policy: Which cached block goes first (`LRU`, `FIFO` or your own class).
        draft_proposer: Guesses tokens, so that one step can settle several; None guesses nothing.
        dtype: Of weights and cache: "auto" is bfloat16 on a GPU and float32 on a CPU.
        weight_dtype: How weights are kept: "auto" is as `dtype`; "int8", on a CPU, takes a quarter
            of the memory and of the time of reading it, and rounds (see `layers/int8.py`).
        device: "auto" is the GPU if there is one.
        attention_backend: "auto" chooses by device, dtype, head size, block size and what is
            installed, and `nanovllm-edu info` says why. On a CPU that is "native", our C kernel.
        gpu_memory_utilization: Fraction of the GPU's memory for weights, activations and cache.
        enforce_eager: Never use CUDA graphs.
        tensor_parallel_size: Processes that share the model, each with a part of every matrix
            (see `models/shard.py`).
        seed: Requests without a seed of their own get one derived from this and their seq_id.
    """

    block_size: int = 16
    num_blocks: int | None = None
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 2048
    max_model_len: int | None = None
    enable_prefix_caching: bool = True
    prefix_cache: str = "hash"
    enable_chunked_prefill: bool = True
    prefill_chunk_size: int | None = None
    policy: SchedulingPolicy = field(default_factory=MixedPolicy)
    eviction_policy: Callable[[], EvictionPolicy] = LRU
    draft_proposer: DraftProposer | None = None
    dtype: str = "auto"
    weight_dtype: str = "auto"
    device: str = "auto"
    attention_backend: str = "auto"
    gpu_memory_utilization: float = 0.9
    enforce_eager: bool = False
    tensor_parallel_size: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "block_size",
            "max_num_seqs",
            "max_num_batched_tokens",
            "tensor_parallel_size",
        ):
            self._check_int(name, 1)
        if self.max_num_seqs > MAX_ROWS:
            raise ConfigError(
                f"max_num_seqs={self.max_num_seqs} is above {MAX_ROWS}, more rows than any device "
                "has blocks for; lower it."
            )
        for name in ("num_blocks", "max_model_len", "prefill_chunk_size"):
            if getattr(self, name) is not None:
                self._check_int(name, 2 if name == "max_model_len" else 1)
        self._check_int("seed", 0)
        for name in ("enable_prefix_caching", "enable_chunked_prefill", "enforce_eager"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name}={shown(getattr(self, name))} is not True or False.")
        self._check_choice("dtype", DTYPES)
        self._check_choice("weight_dtype", WEIGHT_DTYPES)
        self._check_choice("attention_backend", ATTENTION_BACKENDS)
        self._check_choice("prefix_cache", PREFIX_CACHES)
        if not isinstance(self.device, str):
            raise ConfigError(
                f"device={shown(self.device)} is not a string such as 'cpu' or 'cuda'."
            )
        fraction = self.gpu_memory_utilization
        is_number = isinstance(fraction, (int, float)) and not isinstance(fraction, bool)
        if not is_number or not 0 < fraction <= 1:
            raise ConfigError(f"gpu_memory_utilization={shown(fraction)} is not in (0, 1].")
        for method in ("order", "victim"):
            if isinstance(self.policy, type) or not callable(getattr(self.policy, method, None)):
                raise ConfigError(
                    f"policy={shown(self.policy)} is not a SchedulingPolicy object with order() "
                    "and victim(); pass one, such as MixedPolicy()."
                )
        self._check_eviction_policy()
        proposer = self.draft_proposer
        if proposer is not None and not callable(getattr(proposer, "propose", None)):
            raise ConfigError(
                f"draft_proposer={shown(proposer)} is no object with propose(); pass one, or None."
            )

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """Builds a config; a misspelt option is an error, not a default.

        Raises:
            ConfigError: An option is unknown; names the closest known one.
        """
        known = [f.name for f in fields(cls)]
        for name in options:
            if name not in known:
                raise unknown_option(name, options[name], known)
        return cls(**options)

    def _check_int(self, name: str, low: int) -> None:
        value = as_integer(getattr(self, name))
        if value is None:
            given = shown(getattr(self, name))
            raise ConfigError(f"{name}={given} is not an integer; give one >= {low}.")
        if value < low:
            raise ConfigError(f"{name}={shown(value)} is below {low}; give at least {low}.")
        if value >= INT32_END:
            raise ConfigError(f"{name}={shown(value)} is not below {INT32_END}; lower it.")
        object.__setattr__(self, name, value)

    def _check_eviction_policy(self) -> None:
        policy = self.eviction_policy
        if not callable(policy):
            raise ConfigError(
                f"eviction_policy={shown(policy)} is not a class; pass LRU, FIFO or yours."
            )
        if self.prefix_cache == "radix" and not hasattr(policy, "discard"):
            raise ConfigError(
                f"eviction_policy={shown(policy)} has no discard(block_id), by which "
                "prefix_cache='radix' evicts leaves first; add it, or use prefix_cache='hash'."
            )

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        if getattr(self, name) not in choices:
            raise ConfigError(
                f"{name}={shown(getattr(self, name))} is not one of {', '.join(choices)}."
            )
