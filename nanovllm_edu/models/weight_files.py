"""The weight files of a model folder: which there are, and which of them holds which tensor.

Only safetensors is read, since a pickle can run code. Where an index says in which file a tensor
is, its word is taken: the same name may stand in another file too, left over from something else.

Knows nothing of models. Read next: `checkpoint.py`.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from nanovllm_edu.errors import ModelLoadError, shown
from nanovllm_edu.models.json_file import read_json

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"


class StoredTensor(NamedTuple):
    """A tensor in an open file.

    Attributes:
        file: What `safe_open` gave.
        name: Its name in there.
    """

    file: Any
    name: str

    @property
    def shape(self) -> list[int]:
        """Its sizes."""
        return list(self.file.get_slice(self.name).get_shape())

    @property
    def dtype(self) -> str:
        """Its type, as safetensors calls it."""
        return self.file.get_slice(self.name).get_dtype()

    def read(self, slices: tuple[slice, ...] = ()) -> Tensor:
        """The tensor, or a part of it; its bytes are mapped, and of a part no others are read."""
        if slices:
            return self.file.get_slice(self.name)[slices]
        return self.file.get_tensor(self.name)


def open_tensors(stack: ExitStack, folder: Path) -> dict[str, StoredTensor]:
    """Map all weight files of a folder; return each tensor by its name.

    Raises:
        ModelLoadError: There are none, one is damaged, or the index does not fit them.
    """
    if not (folder / INDEX_NAME).is_file():
        file = _open(stack, _single_file(folder))
        return {name: StoredTensor(file, name) for name in file.keys()}  # noqa: SIM118
    weight_map = _weight_map(folder)
    files = {name: _open(stack, folder / name) for name in sorted(set(weight_map.values()))}
    names = {name: set(file.keys()) for name, file in files.items()}
    for tensor, file_name in weight_map.items():
        if tensor not in names[file_name]:
            raise ModelLoadError(
                f"{folder / INDEX_NAME} says that {file_name} holds {shown(tensor)}, and it does "
                "not. Download both again."
            )
    return {tensor: StoredTensor(files[name], tensor) for tensor, name in weight_map.items()}


def num_bytes(folder: Path) -> int:
    """How large all safetensors files of a folder are together."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _single_file(folder: Path) -> Path:
    if (folder / SINGLE_NAME).is_file():
        return folder / SINGLE_NAME
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


def _weight_map(folder: Path) -> dict[str, str]:
    """The name of the file of each tensor."""
    index = folder / INDEX_NAME
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelLoadError(f"{index} is damaged: it has no weight_map. Download it again.")
    _check_files(index, set(map(str, weight_map.values())))
    return {tensor: str(name) for tensor, name in weight_map.items()}


def _check_files(index: Path, names: Iterable[str]) -> None:
    for name in sorted(names):
        # A shard is a sibling: an index must not be able to point anywhere else.
        if Path(name).name != name or not (index.parent / name).is_file():
            raise ModelLoadError(f"{index} names {shown(name)}, which is not in the folder.")


def _open(stack: ExitStack, path: Path) -> Any:
    try:
        return stack.enter_context(safe_open(path, framework="pt", device="cpu"))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(
            f"{path} is truncated or damaged ({error}). Download it again."
        ) from error
