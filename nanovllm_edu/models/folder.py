"""From what a user calls a model to a folder on this machine.

"tiny" is the model in the box, "tiny-draft" the small one that guesses for it, a path is a folder,
and anything else is a name on the Hugging Face hub. From there config, tokenizer and safetensors
files are downloaded: no pickle, no code.

Read next: `checkpoint.py`, which opens the safetensors files in the folder.
"""

import os
import re
from pathlib import Path
from typing import Any

from nanovllm_edu.errors import ModelLoadError, shown

TINY_MODEL_FOLDER = Path(__file__).resolve().parent.parent / "tiny" / "model"
TINY_DRAFT_FOLDER = TINY_MODEL_FOLDER.with_name("draft")

_IN_THE_BOX = {"tiny": TINY_MODEL_FOLDER, "tiny-draft": TINY_DRAFT_FOLDER}

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model"]
# Some repositories hold the same weights a second time, in their authors' own layout.
_HUB_DUPLICATES = ["consolidated*", "*/*"]


def resolve_model_folder(model: Any) -> Path:
    """Find, or download, the folder of a model.

    Args:
        model: "tiny", "tiny-draft", a folder, or a hub name such as "Qwen/Qwen3-0.6B". A folder
            that is called "tiny" is reached as "./tiny".

    Raises:
        ModelLoadError: There is no such folder and no such model on the hub, or it is unreadable.
    """
    if isinstance(model, str) and model in _IN_THE_BOX:
        return _IN_THE_BOX[model]
    if not isinstance(model, (str, os.PathLike)) or not str(model):
        raise ModelLoadError(
            f"model={shown(model)} is neither a folder nor a name; give a path, a hub model such "
            "as 'Qwen/Qwen3-0.6B', or 'tiny' for the model in the box."
        )
    # os.path answers False where a Path method would raise for want of permission.
    folder = Path(os.path.expanduser(model))
    if os.path.isdir(folder):
        return _readable(folder)
    if os.path.exists(folder):
        raise ModelLoadError(f"{folder} is a file; name the folder that holds config.json.")
    if isinstance(model, str) and _HUB_NAME.fullmatch(model):
        return _download(model)
    raise ModelLoadError(
        f"there is no folder {str(folder)[:300]}. Name an existing model folder, a hub model such "
        "as 'Qwen/Qwen3-0.6B', or 'tiny' for the model in the box."
    )


def _readable(folder: Path) -> Path:
    if os.access(folder, os.R_OK | os.X_OK):
        return folder
    raise ModelLoadError(
        f"{folder} may not be read by this user. Give yourself permission (chmod u+rx) or name "
        "another model folder."
    )


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(
            snapshot_download(name, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_DUPLICATES)
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise ModelLoadError(
            f"{shown(name)} is no folder here and could not be fetched from the Hugging Face hub: "
            f"{error!s:.400} Check the name and the network, set HF_TOKEN if the model wants a "
            "licence accepted, or use 'tiny', the model in the box."
        ) from error
