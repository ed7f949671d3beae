"""What `benchmarks/walk.py` counts is what one token's walk enters."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """What the script prints; in a process of its own, where nothing else is being profiled."""
    command = [sys.executable, ROOT / "benchmarks" / "walk.py", "--chain"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_walk_leads_from_the_request_through_the_model_to_the_token(lines: list[str]):
    files = [line.split()[1] for line in lines if line.endswith((".py", ".c"))]
    assert files[0] == "engine.py"
    wanted = ["core/schedule/scheduler.py", "runners/eager.py", "models/qwen3.py"]
    assert sorted(wanted, key=files.index) == wanted
    assert {"native/paged_attention.c", "native/ops.c", "sampling/random.py"} <= set(files)
    assert len(set(files)) == len(files)


def test_the_sums_are_those_of_the_lists(lines: list[str]):
    table = [line.split() for line in lines if line.endswith((".py", ".c"))]
    hops = [line for line in lines if " -> " in line]
    for count, file in table:
        assert int(count) == len((ROOT / "nanovllm_edu" / file).read_text().splitlines())
    total = f"{len(table)} files, {sum(int(count) for count, _ in table):,} lines, {len(hops)} hops"
    assert sum(line.startswith(total) for line in lines) == 1
    assert hops[0].split()[1:3] == ["engine.py", "->"]
