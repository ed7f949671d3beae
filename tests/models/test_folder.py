"""From a model's name to its folder, with the hub replaced by a function."""

from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import pytest

from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.models.folder import TINY_DRAFT_FOLDER, TINY_MODEL_FOLDER, resolve_model_folder


def test_tiny_is_the_model_in_the_box() -> None:
    assert resolve_model_folder("tiny") == TINY_MODEL_FOLDER
    assert TINY_MODEL_FOLDER.parts[-3:] == ("nanovllm_edu", "tiny", "model")
    assert resolve_model_folder("tiny-draft") == TINY_DRAFT_FOLDER
    assert (TINY_DRAFT_FOLDER / "config.json").is_file()


def test_a_folder_wins_over_the_hub(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_model_folder("owner/name") == Path("owner/name")
    assert resolve_model_folder(tmp_path) == tmp_path


def test_a_hub_name_is_downloaded_without_pickles_or_code(tmp_path: Path, monkeypatch) -> None:
    asked = {}

    def snapshot_download(name, *, allow_patterns, ignore_patterns):
        asked.update(name=name, allow=allow_patterns, ignore=ignore_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert resolve_model_folder("owner/name") == tmp_path
    assert asked["name"] == "owner/name"

    def is_fetched(file: str) -> bool:
        is_allowed = any(fnmatch(file, pattern) for pattern in asked["allow"])
        return is_allowed and not any(fnmatch(file, pattern) for pattern in asked["ignore"])

    wanted = ["config.json", "model-00001-of-00002.safetensors", "tokenizer.json", "merges.txt"]
    unwanted = ["pytorch_model.bin", "modeling_x.py", "consolidated.safetensors", "original/a.json"]
    assert all(is_fetched(file) for file in wanted)
    assert not any(is_fetched(file) for file in unwanted)


def test_a_failed_download_says_what_to_check(monkeypatch) -> None:
    def snapshot_download(name, **_):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(ModelLoadError, match=r"'owner/name'.*no network.*'tiny'"):
        resolve_model_folder("owner/name")


@pytest.mark.parametrize("model", ["/no/such/folder", "./none", "a/b/c", Path("owner/name")])
def test_what_is_neither_folder_nor_hub_name_never_reaches_the_hub(model, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(ModelLoadError):
        resolve_model_folder(model)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ModelLoadError, match="is a file"):
        resolve_model_folder(file)


def test_a_folder_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ModelLoadError, match="may not be read"):
        resolve_model_folder(tmp_path)


def test_an_unknown_users_home_is_no_folder() -> None:
    with pytest.raises(ModelLoadError, match="no folder ~no-such-user"):
        resolve_model_folder("~no-such-user")
