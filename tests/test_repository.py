"""The files around the code are well formed, and say what the code says."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from nanovllm_edu import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def parsed(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(job: dict) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_asks_for_few_rights_and_ends(path: Path):
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])


def test_ci_runs_what_developers_run_on_every_python_that_is_supported():
    job = parsed(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert any(command.startswith("make test") for command in commands(job))
    classifiers = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: 3." in line}
    assert classifiers == set(job["strategy"]["matrix"]["python"])


def test_make_test_runs_every_folder_with_browser_tests():
    folders = re.search(r"^BROWSER := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.M)[1]
    marked = re.compile(r"^(pytestmark = |@)pytest\.mark\.browser", re.M)
    files = [p for p in (ROOT / "tests").rglob("test_*.py") if marked.search(p.read_text("utf-8"))]
    assert {path.parent.relative_to(ROOT).as_posix() for path in files} == set(folders.split())


def test_a_release_is_built_and_checked_before_it_is_published_without_a_password():
    path = ROOT / ".github/workflows/release.yml"
    jobs = parsed(path)["jobs"]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert {"python -m build", "twine check --strict dist/*"} <= set(commands(jobs["build"]))
    assert "secrets." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_wants(path: Path):
    form = parsed(path)
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(field["attributes"]["label"] for field in form["body"])


def test_the_citation_is_of_this_version():
    citation = parsed(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == __version__ == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]


def test_the_changelog_has_a_section_per_version_newest_first():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert versions[1] == __version__
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
