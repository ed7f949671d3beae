"""What `benchmarks/walk.py` counts is what one token's walk enters."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SUMS = re.compile(r"(\d+) files, ([\d,]+) lines, (\d+) hops")


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


def test_the_architecture_page_tells_todays_figures(lines: list[str]):
    """Files and hops exactly; lines within 3%, since every edit changes them a little."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = re.search(r"^\| nanovllm-edu \| (\d+) \| ([\d,]+) \| (\d+) \|$", page, re.MULTILINE)
    sums = next(match for line in lines if (match := SUMS.match(line)))
    files, num_lines, hops = (int(text.replace(",", "")) for text in sums.groups())
    assert told is not None
    assert (told[1], told[3]) == (str(files), str(hops))
    assert int(told[2].replace(",", "")) == pytest.approx(num_lines, rel=0.03)
