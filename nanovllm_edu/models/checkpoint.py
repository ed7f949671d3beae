"""From safetensors files into a model's tensors, with every difference named.

The files are mapped into memory, not read: a tensor's bytes move once, from the file to where the
model keeps them, converted to its dtype on the way.

Checkpoints do not agree on names: what was saved without an output matrix lacks the prefix
`model.`, and a matrix that is embedding and output at once is stored under either name, or both.

Knows nothing of architectures: it compares the names and shapes a model wants with those it finds.

Read next: `loader.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.layers.linear import MergedLinear
from nanovllm_edu.models.weight_files import (
    INDEX_NAME,
    SINGLE_NAME,
    StoredTensor,
    num_bytes,
    open_tensors,
)

__all__ = ["INDEX_NAME", "SINGLE_NAME", "checkpoint_tensors", "fill_from_safetensors"]

SMALL = 64 * 2**20
"""Bytes that load at once on any machine not busy with something else: they need no bar."""
LARGE = 2**27
"""Parameters that are worth a look at the files before memory is taken for them."""

_NUM_NAMED = 5
_PREFIX = "model."
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
            tensors[full_name if prefix == "lm_head" else f"{_PREFIX}{full_name}"] = view
    return tensors


def check_size_of_files(folder: Path, num_parameters: int) -> None:
    """Refuses a config whose model is far larger than its weight files, before memory is taken.

    Raises:
        ModelLoadError: There is less than a bit for each of many parameters.
    """
    found = num_bytes(folder)
    if found and num_parameters > max(8 * found, LARGE):
        raise ModelLoadError(
            f"config.json describes {num_parameters:,} parameters, and the weight files in "
            f"{folder} have {found:,} bytes. Check that config.json belongs to these weights."
        )


Each = Callable[[Callable[[str], str], Iterable[str]], Iterable[str]]
"""Calls a function for each name: `map`, or the `map` of several threads."""

Slices = Callable[[str], tuple[slice, ...]]
"""What a rank takes of the tensor with this name; () is all of it."""


def _all(_: str) -> tuple[slice, ...]:
    return ()


def fill_from_safetensors(
    model: nn.Module,
    folder: Path,
    *,
    is_tied: bool,
    progress: bool,
    whole: nn.Module | None = None,
    slices: Slices = _all,
    each: Each = map,
) -> None:
    """Copy a folder's weights into a model.

    Args:
        model: Has tensors of the right shapes, with any contents.
        folder: Holds `model.safetensors`, or an index and its shards.
        is_tied: Whether the output matrix is the embedding; then a copy of it is no extra tensor.
        progress: Whether to show a bar when it takes longer than a second.
        whole: Has the shapes that the folder's tensors must have, if `model` is a part of it.
        slices: Which part of each.
        each: `map`, or one that has several threads.

    Raises:
        ModelLoadError: No safetensors file, a damaged one, or tensors that are missing, extra,
            misshaped or of a type that is not float; the model is then untouched. Or weights that
            are no numbers.
    """
    wanted = checkpoint_tensors(model)
    with ExitStack() as stack:
        found = _by_wanted_name(open_tensors(stack, folder), wanted, is_tied=is_tied)
        _compare(checkpoint_tensors(whole or model), found, folder)
        total = sum(view.nbytes for view in wanted.values())
        broken: list[str] = []
        with _progress_bar(total, is_shown=progress) as bar:

            def fill(name: str) -> str:
                _fill(wanted[name], found[name], slices(name))
                if not _is_finite(wanted[name]):
                    broken.append(found[name].name)
                return name

            for name in each(fill, wanted):
                bar.update(wanted[name].nbytes)
    if broken:
        dtype = next(iter(wanted.values())).dtype
        raise ModelLoadError(
            f"{_some(broken)} of the tensors in {folder} hold values that are no numbers (NaN or "
            f"infinite) in {dtype}. Download the model again, or choose a dtype with larger "
            "numbers, such as bfloat16."
        )


def _fill(view: Tensor, stored: StoredTensor, slices: tuple[slice, ...]) -> None:
    """Copies a tensor, or a part; where the part is smaller than its place, zeros are behind it."""
    if not slices:
        view.copy_(stored.read())
        return
    view.zero_()
    if all(one.start is None or one.stop > one.start for one in slices):
        part = stored.read(slices)
        view[tuple(slice(size) for size in part.shape)].copy_(part)


def _is_finite(view: Tensor) -> bool:
    """Whether all numbers are: the sum is, if they are, and costs no memory."""
    if view.is_meta or bool(torch.isfinite(view.sum(dtype=torch.float32))):
        return True
    return bool(torch.isfinite(view).all())


def _progress_bar(total: int, *, is_shown: bool) -> tqdm:
    """A bar in bytes, for large files, that only appears once loading has taken a second."""
    return tqdm(
        total=total,
        desc="Loading weights",
        unit="B",
        unit_scale=True,
        delay=1.0,
        disable=not is_shown or total < SMALL,
    )


def _by_wanted_name(
    stored: Mapping[str, StoredTensor], wanted: Mapping[str, Tensor], *, is_tied: bool
) -> dict[str, StoredTensor]:
    """The stored tensors under the names the model has for them, without those that follow."""
    found: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        if name.endswith(".rotary_emb.inv_freq"):
            continue  # old checkpoints stored what the config says
        spellings = (name, f"{_PREFIX}{name}", name.removeprefix(_PREFIX))
        known = {*wanted, _TIED_HEAD} if is_tied else wanted
        ours = next((spelling for spelling in spellings if spelling in known), name)
        # Both spellings in one checkpoint: the second is one too many.
        found[name if ours in found else ours] = tensor
    if is_tied and _TIED_HEAD in found:
        _untie(found)
    return found


def _untie(found: dict[str, StoredTensor]) -> None:
    """Leaves one of a tied pair, as the embedding."""
    head = found.pop(_TIED_HEAD)
    embedding = found.setdefault(_EMBEDDING, head)
    if embedding is not head and not torch.equal(head.read(), embedding.read()):
        raise ModelLoadError(
            f"config.json ties {_TIED_HEAD} to {_EMBEDDING}, yet the checkpoint has both and "
            "they differ. Set tie_word_embeddings to false in config.json."
        )


def _compare(wanted: Mapping[str, Tensor], found: Mapping[str, StoredTensor], folder: Path) -> None:
    """Raise one error that names everything wrong with the checkpoint."""
    both = wanted.keys() & found.keys()
    problems = {
        "missing": wanted.keys() - found.keys(),
        "unexpected": found.keys() - wanted.keys(),
        "misshaped": [
            f"{name} {found[name].shape} instead of {list(wanted[name].shape)}"
            for name in both
            if found[name].shape != list(wanted[name].shape)
        ],
        "not in float16, bfloat16, float32 or float64": [
            f"{name} {found[name].dtype}"
            for name in both
            if found[name].dtype not in ("F64", "F32", "F16", "BF16")
        ],
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
