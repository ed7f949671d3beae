"""From options to a runner: every choice made here is kept, with its reason, in `RuntimeInfo`.

Order matters. The weights come first, then a warm-up step of the largest size; what memory is left
after that is the KV cache's.

Read next: `runners/defaults.py`, `runners/memory.py`, `runners/select.py`.
"""

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import BlockUpdate, Joined, Span, Spans, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import ConfigError, shown
from nanovllm_edu.layers.ops import Ops, TorchOps
from nanovllm_edu.layers.packed import describe_products
from nanovllm_edu.layers.split import SplitEmbedding
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.native import gemm as native_gemm
from nanovllm_edu.native import ops as native_ops
from nanovllm_edu.native.kept_memory import keep_freed_memory
from nanovllm_edu.paged.kv_cache import bytes_per_block
from nanovllm_edu.runners import select
from nanovllm_edu.runners.eager import EagerRunner
from nanovllm_edu.runners.memory import CacheSize, cache_size, check_fits
from nanovllm_edu.runners.taped import TapeRunner


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What was chosen at start: option -> (value, why)."""

    choices: dict[str, tuple[str, str]]

    def plus(self, name: str, value: str, why: str) -> "RuntimeInfo":
        """The same with one choice more."""
        return RuntimeInfo(self.choices | {name: (value, why)})

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value} ({why})" for name, (value, why) in self.choices.items())


def choose_device(asked: str) -> tuple[torch.device, str]:
    """The device, and why.

    Raises:
        ConfigError: It does not exist here.
    """
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), "a CUDA GPU is there"
        return torch.device("cpu"), "no CUDA GPU was found"
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ConfigError(f"device={shown(asked)} is not a device; use 'cpu' or 'cuda'.") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device={shown(asked)} is not supported; use 'cpu' or 'cuda'.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={shown(asked)}, but torch finds no CUDA GPU; use device='cpu'.")
    return device, "asked for by device"


def choose_dtype(asked: str, device: torch.device) -> tuple[torch.dtype, str]:
    """The dtype of weights and cache, and why."""
    if asked != "auto":
        return getattr(torch, asked), "asked for by dtype"
    if device.type == "cuda":
        return torch.bfloat16, "half the bytes to stream, and the GPU's matrix units take it"
    return torch.float32, "exact, and the fast one on a CPU"


def choose_ops(device: torch.device, dtype: torch.dtype) -> tuple[Ops, str]:
    """Who does the memory-bound arithmetic of a layer, and why."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            return TorchOps(), "triton is not installed"
        from nanovllm_edu.kernels.triton.ops import TritonOps

        return TritonOps(), "fused kernels on a GPU"
    problem = native_ops.why_unavailable(device, dtype)
    if problem:
        return TorchOps(), f"readable torch; not those in C: {problem}"
    return native_ops.NativeOps(), "in C, one pass each"


def choose_gemms(model: Qwen3ForCausalLM, weight_dtype: str) -> tuple[str, str]:
    """Has the model multiply by the best means there is; returns which, and why.

    Raises:
        ConfigError: There is nothing that multiplies with weights in 8 bits here.
    """
    weight = model.embed_tokens.weight
    problem = native_gemm.why_unavailable(weight.device, weight.dtype)
    if weight_dtype == "int8":
        if problem:
            raise ConfigError(
                f"weight_dtype='int8' is for a C kernel on a CPU, and {problem}; leave it out."
            )
        lost = native_gemm.use_int8_gemms(model, model.embed_tokens)
        return "our C kernel, weights in 8 bits", (
            f"asked for by weight_dtype; rounding changes the weights by {lost:.2%} (root mean "
            "square)"
        )
    if weight.device.type == "cuda":
        return describe_products(weight)
    if problem is None:
        native_gemm.use_native_gemms(model)
        return "our C kernel, packed weights", "compiled for this CPU; each weight is held twice"
    name, why = describe_products(weight)
    return name, f"{why}; not our C kernel: {problem}"


def longest_sequence(config: EngineConfig, model: ModelConfig) -> int:
    """Positions the tables must hold: what was asked for, else all that the model has."""
    if config.max_model_len is None:
        return model.max_position_embeddings
    if config.max_model_len > model.max_position_embeddings:
        raise ConfigError(
            f"max_model_len={config.max_model_len} exceeds the {model.max_position_embeddings} "
            "positions of the model; lower it."
        )
    return config.max_model_len


def build_runner(
    model: Qwen3ForCausalLM,
    config: EngineConfig,
    eos_token_ids: frozenset[int],
    reasons: dict[str, str],
) -> tuple[EagerRunner, RuntimeInfo]:
    """Chooses a backend, measures the cache, and builds the runner.

    Args:
        model: With its weights on their device.
        config: The options.
        eos_token_ids: Tokens by which the model ends.
        reasons: Why "device", "dtype" and "ops" are what they are.

    Raises:
        BackendUnavailableError: The backend asked for cannot run here.
        OutOfDeviceMemoryError: No room for the cache, or for the tables.
    """
    shape = model.config
    device = model.embed_tokens.weight.device
    choice = select.choose(
        config.attention_backend, device, shape.dtype, shape.head_dim, config.block_size
    )
    backend = select.make(choice)
    max_model_len = longest_sequence(config, shape)
    block_bytes = bytes_per_block(
        shape.num_layers, config.block_size, shape.num_kv_heads, shape.head_dim, shape.dtype
    )
    check_fits(config, device, block_bytes, max_model_len)
    if device.type == "cuda" and config.num_blocks is None:
        _warm_up(model, backend, config, max_model_len)
    size = cache_size(config, device, block_bytes, max_model_len)
    products = choose_gemms(model, config.weight_dtype)
    has_ranks = isinstance(model.embed_tokens, SplitEmbedding)
    runner_class, why_runner = _choose_runner(device, config, choice, has_ranks)
    runner = runner_class.build(
        model,
        backend,
        num_blocks=size.num_blocks,
        block_size=config.block_size,
        max_num_seqs=config.max_num_seqs,
        max_model_len=max_model_len,
        eos_token_ids=eos_token_ids,
        choice=choice,
    )
    if device.type == "cpu":
        keep_freed_memory()
    runner.warm_up(config.max_num_batched_tokens)
    reasons = reasons | {"runner": why_runner}
    info = _describe(runner, choice, products, reasons, size, block_bytes)
    return runner, info


def _describe(
    runner: EagerRunner,
    choice: select.BackendChoice,
    products: tuple[str, str],
    reasons: dict[str, str],
    size: CacheSize,
    block_bytes: int,
) -> RuntimeInfo:
    """All choices, for people to read."""
    model, shape = runner.model, runner.model.config
    device, decode = model.embed_tokens.weight.device, runner.describe_decode()
    blocks = f"{size.num_blocks} blocks of {runner.block_size} tokens"
    mib = size.num_blocks * block_bytes / 2**20
    return RuntimeInfo(
        {
            "model": (shape.architecture, f"{shape.num_layers} layers of {shape.hidden_size}"),
            "device": (str(device), reasons["device"]),
            "dtype": (str(shape.dtype).removeprefix("torch."), reasons["dtype"]),
            "ops": (type(model.ops).__name__, reasons["ops"]),
            "products": products,
            "attention": (choice.name, choice.why),
            "runner": (type(runner).__name__, reasons["runner"]),
            **({"decode steps": decode} if decode else {}),
            **({"threads": runner.threads.describe()} if device.type == "cpu" else {}),
            "kv cache": (f"{blocks}, {mib:.1f} MiB", size.why),
        }
    )


def _choose_runner(
    device: torch.device, config: EngineConfig, choice: select.BackendChoice, has_ranks: bool
) -> tuple[type[EagerRunner], str]:
    if config.enforce_eager:
        return EagerRunner, "asked for by enforce_eager"
    if device.type != "cuda":
        if choice.name != "native":
            return EagerRunner, "CUDA graphs need a GPU"
        if has_ranks:
            return EagerRunner, "ranks meet within a step, which no tape holds"
        return TapeRunner, "our C kernels can be played from a tape"
    if choice.name not in select.RECORDABLE:
        return EagerRunner, f"{choice.name} reads lengths on the host, which a CUDA graph cannot"
    from nanovllm_edu.runners.cuda_graph import CudaGraphRunner

    return CudaGraphRunner, "steps are replayed from CUDA graphs"


def _warm_up(
    model: Qwen3ForCausalLM, backend: AttentionBackend, config: EngineConfig, max_model_len: int
) -> None:
    """Runs the largest possible steps once, so that their peak memory is known."""
    torch.cuda.reset_peak_memory_stats(model.embed_tokens.weight.device)
    for lengths in _warm_up_lengths(config, max_model_len):
        num_blocks = -(-max(lengths) // config.block_size)
        runner = EagerRunner.build(
            model,
            backend,
            num_blocks=num_blocks,
            block_size=config.block_size,
            max_num_seqs=config.max_num_seqs,
            max_model_len=max_model_len,
        )
        # All of them share the same blocks: what is computed is thrown away.
        blocks, params = tuple(range(num_blocks)), SamplingParams()
        rows = list(enumerate(lengths))
        plan = StepPlan(
            0,
            Spans(Span(row, row, 0, length) for row, length in rows),
            tuple(Joined(row, row, (0,) * length, length, params, 0) for row, length in rows),
            block_updates=tuple(BlockUpdate(0, row, 0, blocks) for row, _ in rows),
        )
        runner.launch(plan).wait()
        runner.close()


def _warm_up_lengths(config: EngineConfig, max_model_len: int) -> list[list[int]]:
    """Sequences that together fill the token budget of one step: few long ones, many short ones.

    Long ones need most of the attention, many ones most of the sampling.
    """
    budget, most = config.max_num_batched_tokens, config.max_num_seqs
    longest = min(max_model_len, budget)
    count = min(most, budget)
    few = [longest] * min(most, -(-budget // longest))
    return [few, [min(longest, budget // count)] * count]
