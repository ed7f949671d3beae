"""What README, CONTRIBUTING and architecture.md promise holds."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_quick_start_runs(capsys: pytest.CaptureFixture[str]):
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    output = capsys.readouterr().out
    assert "A KV cache stores the keys and values" in output
    assert "EngineState: waiting []" in output


def test_the_quick_start_is_short():
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line]) <= 10


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_links_lead_somewhere(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    missing = [link for link in targets if not (ROOT / name).parent.joinpath(link).exists()]
    assert not missing


def test_every_lesson_is_linked():
    lessons = (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")
    assert not [lesson.name for lesson in lessons if f"notebooks/{lesson.name}" not in README]


def test_files_that_architecture_names_exist():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    names = re.findall(r"`([a-z_/]+\.py|[a-z_/]+/)`", text)
    assert names
    assert not [name for name in names if not (ROOT / "nanovllm_edu" / name).exists()]
