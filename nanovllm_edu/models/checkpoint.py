"""From safetensors files into a model's tensors, with every difference named.

The files are mapped into memory, not read: a tensor's bytes move once, from the file to where the
model keeps them, converted to its dtype on the way. Only safetensors is read, since a pickle
can run code.

Knows nothing of architectures: it compares the names and shapes a model wants with those it finds.

Read next: `loader.py`.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from tqdm.auto import tqdm

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.layers.linear import MergedLinear

SMALL = 64 * 2**20
"""Bytes that load at once on any machine not busy with something else: they need no bar."""
INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"

_NUM_NAMED = 5
_TIED_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def checkpoint_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Map the names a Hugging Face checkpoint uses to the tensors, or views, that they fill."""
    tensors = {}
    for path, module in model.named_modules():
        if isinstance(module, MergedLinear):
            prefix, views = path.rpartition(".")[0], module.part_views()
        else:
            prefix, views = path, module.named_parameters(recurse=False)
        for name, view in views:
            full_name = f"{prefix}.{name}"
            tensors[full_name if prefix == "lm_head" else f"model.{full_name}"] = view
    return tensors


def fill_from_safetensors(model: nn.Module, folder: Path, *, is_tied: bool, progress: bool) -> None:
    """Copy a folder's weights into a model.

    Args:
        model: Has tensors of the right shapes, with any contents.
        folder: Holds `model.safetensors`, or an index and its shards.
        is_tied: Whether the output matrix is the embedding; then a copy of it is no extra tensor.
        progress: Whether to show a bar when it takes longer than a second.

    Raises:
        ModelLoadError: No safetensors file, a damaged one, or tensors that are missing, extra,
            misshaped or of a type that is not float. The model is then untouched.
    """
    wanted = checkpoint_tensors(model)
    with ExitStack() as stack:
        found = _open_all(stack, safetensors_files(folder))
        _compare(wanted, found, folder, ignored=_ignored_names(found, is_tied))
        num_bytes = sum(view.nbytes for view in wanted.values())
        with _progress_bar(num_bytes, is_shown=progress) as bar:
            for name, view in wanted.items():
                view.copy_(found[name].get_tensor(name))
                bar.update(view.nbytes)


def _progress_bar(num_bytes: int, *, is_shown: bool) -> tqdm:
    """A bar in bytes, for large files, that only appears once loading has taken a second."""
    return tqdm(
        total=num_bytes,
        desc="Loading weights",
        unit="B",
        unit_scale=True,
        delay=1.0,
        disable=not is_shown or num_bytes < SMALL,
    )


def safetensors_files(folder: Path) -> list[Path]:
    """Name the weight files of a folder.

    Raises:
        ModelLoadError: There are none, or the index is unreadable or names a file that is missing.
    """
    if (folder / INDEX_NAME).is_file():
        return _indexed_files(folder)
    if (folder / SINGLE_NAME).is_file():
        return [folder / SINGLE_NAME]
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
    if pickles:
        raise ModelLoadError(
            f"{folder} holds {pickles[0]}, a pickle, which can run code when it is opened; only "
            "safetensors is read. If you trust its author, convert it with transformers: "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)."
        )
    raise ModelLoadError(
        f"{folder} has neither {SINGLE_NAME} nor {INDEX_NAME}. Download the model again, or save "
        "it with save_pretrained of transformers."
    )


def _indexed_files(folder: Path) -> list[Path]:
    index = folder / INDEX_NAME
    try:
        weight_map = json.loads(index.read_text("utf-8"))["weight_map"]
        names = sorted({str(name) for name in weight_map.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelLoadError(f"{index} is damaged: {error!r}. Download it again.") from error
    for name in names:
        # A shard is a sibling: an index must not be able to point anywhere else.
        if Path(name).name != name or not (folder / name).is_file():
            raise ModelLoadError(f"{index} names {name!r}, which is not in the folder.")
    return [folder / name for name in names]


def _open_all(stack: ExitStack, paths: Iterable[Path]) -> dict[str, Any]:
    """Map all files; return the open file that holds each tensor, by the tensor's name."""
    holders: dict[str, Any] = {}
    for path in paths:
        try:
            file = stack.enter_context(safe_open(path, framework="pt", device="cpu"))
        except (OSError, SafetensorError) as error:
            raise ModelLoadError(
                f"{path} is truncated or damaged ({error}). Download it again."
            ) from error
        holders.update(dict.fromkeys(file.keys(), file))
    return holders


def _ignored_names(found: Mapping[str, Any], is_tied: bool) -> set[str]:
    """Tensors that are in a checkpoint though they follow from others."""
    ignored = {name for name in found if name.endswith(".rotary_emb.inv_freq")}
    if is_tied and {_TIED_HEAD, _EMBEDDING} <= found.keys():
        head, embedding = (found[n].get_tensor(n) for n in (_TIED_HEAD, _EMBEDDING))
        if not torch.equal(head, embedding):
            raise ModelLoadError(
                f"config.json ties {_TIED_HEAD} to {_EMBEDDING}, yet the checkpoint has both and "
                "they differ. Set tie_word_embeddings to false in config.json."
            )
        ignored.add(_TIED_HEAD)
    return ignored


def _compare(
    wanted: Mapping[str, Tensor], found: Mapping[str, Any], folder: Path, ignored: set[str]
) -> None:
    """Raise one error that names everything wrong with the checkpoint."""
    slices = {name: found[name].get_slice(name) for name in wanted.keys() & found.keys()}
    misshaped = [
        f"{name} {list(slices[name].get_shape())} instead of {list(wanted[name].shape)}"
        for name in slices
        if list(slices[name].get_shape()) != list(wanted[name].shape)
    ]
    not_float = [
        f"{name} {piece.get_dtype()}"
        for name, piece in slices.items()
        if piece.get_dtype() not in ("F64", "F32", "F16", "BF16")
    ]
    problems = {
        "missing": wanted.keys() - found.keys(),
        "unexpected": found.keys() - wanted.keys() - ignored,
        "misshaped": misshaped,
        "not in float16, bfloat16, float32 or float64": not_float,
    }
    lines = [f"  {_some(names)} {problem}" for problem, names in problems.items() if names]
    if lines:
        raise ModelLoadError(
            f"the tensors in {folder} do not fit its config.json:\n" + "\n".join(lines) + "\n"
            "Download the model again, or check that config.json belongs to these weights."
        )


def _some(names: Iterable[str]) -> str:
    """Name the first few, in order, with how many there are."""
    ordered = sorted(names)
    more = ", …" if len(ordered) > _NUM_NAMED else ""
    return f"{len(ordered)} ({', '.join(ordered[:_NUM_NAMED])}{more})"
