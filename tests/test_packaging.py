"""What `pip install` brings: the package with its C, its view and its model, and nothing else."""

import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = {
    "nanovllm_edu/py.typed",
    "nanovllm_edu/native/paged_attention.c",
    "nanovllm_edu/native/ops.c",
    "nanovllm_edu/native/power_of_two.h",
    "nanovllm_edu/kernels/hopper/hopper.cuh",
    "nanovllm_edu/kernels/hopper/few_rows.cu",
    "nanovllm_edu/kernels/hopper/gemm.cu",
    "nanovllm_edu/kernels/hopper/decode.cu",
    "nanovllm_edu/tiny/model/config.json",
    "nanovllm_edu/tiny/model/model.safetensors",
    "nanovllm_edu/tiny/model/tokenizer.json",
    "nanovllm_edu/tiny/draft/config.json",
    "nanovllm_edu/tiny/draft/model.safetensors",
    "nanovllm_edu/tiny/draft/tokenizer.json",
}
FOREIGN = {"training", "tests", "benchmarks", "notebooks", "docs", "site", ".github"}


def build(kind: str, folder: Path) -> Path:
    """A wheel or an sdist of this repository, by the backend that `pip` would ask."""
    builders = pytest.importorskip(f"hatchling.builders.{kind}")
    builder = getattr(builders, {"wheel": "WheelBuilder", "sdist": "SdistBuilder"}[kind])
    return Path(next(builder(str(ROOT)).build(directory=str(folder), versions=["standard"])))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return set(zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel"))).namelist())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    with tarfile.open(build("sdist", tmp_path_factory.mktemp("sdist"))) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_everything_that_runs_is_there(kind: str, request: pytest.FixtureRequest):
    names = request.getfixturevalue(kind)
    assert names >= NEEDED
    ours = [path for path in (ROOT / "nanovllm_edu").rglob("*") if path.is_file()]
    source = {".py", ".js", ".css", ".c", ".h", ".cu", ".cuh"}
    wanted = {path.relative_to(ROOT).as_posix() for path in ours if path.suffix in source}
    assert wanted <= names
    assert {".js", ".css"} <= {PurePosixPath(name).suffix for name in names}


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_nothing_else_is(kind: str, request: pytest.FixtureRequest):
    names = request.getfixturevalue(kind)
    assert not {name for name in names if PurePosixPath(name).parts[0] in FOREIGN}
    assert not {name for name in names if name.endswith((".pyc", ".so", ".ipynb"))}


def test_a_wheel_is_the_package_and_its_metadata(wheel: set[str]):
    roots = {PurePosixPath(name).parts[0] for name in wheel}
    assert len(roots) == 2
    assert "nanovllm_edu" in roots


def test_a_wheel_is_a_quick_download(tmp_path: Path):
    assert build("wheel", tmp_path).stat().st_size < 10_000_000
