"""What a browser runs can be imported, and works, without torch, numpy and transformers."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONTRACT = "What a browser runs needs no torch, numpy or transformers"
MISSING = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
"""
WORK = """
from nanovllm_edu import LLMEngine, SamplingParams, StepRecord
from nanovllm_edu.introspect import Recorder, to_text
from nanovllm_edu.live.engine import make_engine

for kind in ("checksum", "model"):
    recorder = Recorder(make_engine(kind, num_blocks=24))
    recorder.add_request("What is a KV cache?", SamplingParams(max_tokens=3, seed=1, top_p=0.9))
    while recorder.engine.has_unfinished_requests():
        recorder.step()
    assert to_text(recorder.recording)
"""


def contract() -> dict:
    """The contract of pyproject.toml, which the linter checks by reading."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["name"] == CONTRACT)


def run(code: str) -> None:
    start = MISSING.format(missing=set(contract()["forbidden_modules"]))
    run = subprocess.run([sys.executable, "-c", start + code], cwd=ROOT, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()


def test_every_module_of_the_contract_can_be_imported():
    modules = contract()["source_modules"]
    assert {"nanovllm_edu.engine", "nanovllm_edu.live"} <= set(modules)
    paths = [ROOT.joinpath(*name.split(".")) for name in modules]
    files = [path for package in paths for path in package.rglob("*.py")]
    files += [path.with_suffix(".py") for path in paths if not path.is_dir()]
    names = (file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for file in files)
    run("\n".join(f"import {name.removesuffix('.__init__')}" for name in sorted(names)))


def test_an_engine_takes_text_and_steps_with_either_runner():
    run(WORK)
