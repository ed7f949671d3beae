"""A model with weights in it: read from a checkpoint, or random in a given shape.

The parameters are made uninitialised on their device, in their dtype, and then filled in place: at
no time do the weights exist twice, and nothing is drawn only to be overwritten.

Knows nothing of the KV cache; the engine measures what memory is left afterwards.

Read next: `../runners/eager.py`, which feeds a model with batches.
"""

import dataclasses
from pathlib import Path

import torch

from nanovllm_edu.errors import ConfigError, OutOfDeviceMemoryError
from nanovllm_edu.layers.ops import Ops
from nanovllm_edu.layers.split import Place, Ranks, SplitEmbedding, SummedLinear
from nanovllm_edu.models.checkpoint import Each, check_size_of_files, fill_from_safetensors
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.qwen3 import Qwen3DecoderLayer, Qwen3ForCausalLM
from nanovllm_edu.models.registry import model_class, read_config
from nanovllm_edu.models.shard import Shard

# The standard deviation the GPT-2 family has been initialised with ever since.
_INITIAL_STD = 0.02

LARGEST_TABLE = 2**33
"""Bytes that the table of rotary positions may take: 16 million positions of heads of 128."""


def load_model(
    model: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    ops: Ops | None = None,
    max_model_len: int | None = None,
    progress: bool = True,
    ranks: Ranks | None = None,
    each: Each = map,
) -> Qwen3ForCausalLM:
    """Read a model from a folder, the hub or the box.

    Args:
        model: "tiny", a folder, or a hub name.
        dtype: The weights' dtype; None takes what `config.json` says.
        device: Where the weights go.
        ops: Who does the memory-bound arithmetic; None means plain torch.
        max_model_len: The longest sequence that will be asked for; None means all positions.
        progress: Whether to show a bar when loading takes longer than a second.
        ranks: Who shares the model: only our part of it is read. None: nobody does.
        each: `map`, or one that reads several tensors at a time.

    Raises:
        ModelLoadError: No such model, an unsupported one, or tensors that do not fit.
        ConfigError: `max_model_len` is beyond the model's positions, or so many ranks cannot share
            its heads.
        OutOfDeviceMemoryError: The weights do not fit on the device.
    """
    folder = resolve_model_folder(model)
    config = read_config(folder)
    if dtype is not None:
        config = dataclasses.replace(config, dtype=dtype)
    check_size_of_files(folder, config.num_parameters)
    is_tied = config.tie_word_embeddings
    if ranks is None:
        loaded = _empty_model(config, torch.device(device), ops, max_model_len)
        fill_from_safetensors(loaded, folder, is_tied=is_tied, progress=progress, each=each)
        return loaded.eval()
    shard = Shard(ranks.rank, ranks.num_ranks, config)
    part = _part(shard, ranks, torch.device(device), ops, max_model_len)
    whole = _empty_model(config, torch.device("meta"), None, 1)  # shapes without memory
    fill_from_safetensors(
        part, folder, is_tied=is_tied, progress=progress, whole=whole, slices=shard.slices
    )
    return part.eval()


def _part(
    shard: Shard,
    ranks: Ranks,
    device: torch.device,
    ops: Ops | None,
    max_model_len: int | None,
) -> Qwen3ForCausalLM:
    """A rank's part of a model: an ordinary one, narrower; in three places it needs the others."""
    narrow = dataclasses.replace(shard.config, vocab_size=shard.num_rows)
    model = _empty_model(narrow, device, ops, max_model_len)
    model.config = shard.config
    with device:
        for layer in model.layers:
            assert isinstance(layer, Qwen3DecoderLayer)
            layer.self_attn.o_proj = SummedLinear(layer.self_attn.o_proj, ranks, Place.ATTENTION)
            layer.mlp.down_proj = SummedLinear(layer.mlp.down_proj, ranks, Place.MLP)
        model.embed_tokens = head = _vocabulary(shard, ranks)
        model.lm_head = head if shard.whole.tie_word_embeddings else _vocabulary(shard, ranks)
    return model.requires_grad_(False)


def _vocabulary(shard: Shard, ranks: Ranks) -> SplitEmbedding:
    whole = shard.whole
    sizes = whole.vocab_size, shard.vocabulary.start, shard.num_rows, whole.hidden_size
    return SplitEmbedding(*sizes, dtype=whole.dtype, ranks=ranks)


def build_random_model(
    config: ModelConfig,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    ops: Ops | None = None,
    max_model_len: int | None = None,
) -> Qwen3ForCausalLM:
    """Make a model of any shape with random weights, for measuring speed without a download.

    Norms start at 1, everything else is drawn with a standard deviation of 0.02, by a generator of
    its own on the device: the same seed gives the same weights on the same kind of device.

    Args:
        config: The shape.
        dtype: The weights' dtype; None takes the config's.
        device: Where the weights go.
        seed: Of the weights.
        ops: Who does the memory-bound arithmetic; None means plain torch.
        max_model_len: The longest sequence that will be asked for; None means all positions.

    Raises:
        ConfigError: `max_model_len` is beyond the model's positions.
        OutOfDeviceMemoryError: The weights do not fit on the device.
    """
    if dtype is not None:
        config = dataclasses.replace(config, dtype=dtype)
    model = _empty_model(config, torch.device(device), ops, max_model_len)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, _INITIAL_STD, generator=generator)
    return model.eval()


def _empty_model(
    config: ModelConfig, device: torch.device, ops: Ops | None, max_model_len: int | None
) -> Qwen3ForCausalLM:
    """Make a model whose weights hold whatever was in memory."""
    limit = config.max_position_embeddings
    if max_model_len is not None and not 1 <= max_model_len <= limit:
        raise ConfigError(
            f"max_model_len is {max_model_len}; this model has {limit} positions. "
            f"Choose a value from 1 to {limit}."
        )
    _check_table_size(config, max_model_len or limit)
    try:
        with device:
            return model_class(config.architecture)(config, ops, max_model_len)
    except (MemoryError, RuntimeError) as error:  # torch has a RuntimeError for each allocator
        raise OutOfDeviceMemoryError(
            f"the weights of {config.architecture} in {config.dtype} do not fit on {device}: "
            f"{error!s:.300} Choose a smaller model, a 16-bit dtype or device='cpu'."
        ) from error


def _check_table_size(config: ModelConfig, num_positions: int) -> None:
    num_bytes = num_positions * config.head_dim * 4
    if num_bytes > LARGEST_TABLE:
        raise OutOfDeviceMemoryError(
            f"a table of the angles at {num_positions:,} positions takes {num_bytes:,} bytes; set "
            f"max_model_len to at most {LARGEST_TABLE // (config.head_dim * 4):,}."
        )
