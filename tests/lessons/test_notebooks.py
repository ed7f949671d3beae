"""Every notebook has the parts of a lesson, its links lead somewhere, and no error is stored."""

import re
from pathlib import Path

import nbformat
import pytest

from nanovllm_edu.lessons.registry import exercises_of

ROOT = Path(__file__).parent.parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
PARTS_AT_THE_END = ["What production engines do differently", "On a GPU", "Read next"]

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
TIME = re.compile(r"^Before: .+?Time: (\d+) minutes\.", re.MULTILINE | re.DOTALL)
RECORDED = re.compile(r"\b(recorded|recorded_timeline|decode_steps)\(")
BOLD = re.compile(r"\*\*([^*]+)\*\*")
TERM = re.compile(r"^\*\*(.+?)\*\*", re.MULTILINE)
STRESSED = {
    *("shift + enter", "predict", "exercise", "gathered", "all four", "the suspects."),
    *("and its parent's hash", "all weights, once."),
}
"""In bold, and no terms."""

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path, kind):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def text(path, kind):
    return "\n\n".join(cell.source for cell in cells(path, kind))


def test_the_badge_counts_the_lessons_and_their_hours():
    numbers = [path.stem[:2] for path in PATHS]
    assert numbers == sorted(set(numbers))
    hours = sum(int(TIME.search(text(path, "markdown"))[1]) for path in PATHS) / 60
    assert f"{len(PATHS)} lessons, {hours:.0f} hours" in README
    badge = (ROOT / "docs" / "assets" / "badges" / "lessons.svg").read_text(encoding="utf-8")
    assert f"{len(PATHS)} notebooks, {hours:.0f} hours" in badge


@each_notebook
def test_begins_with_a_question_and_what_it_takes(path):
    first = cells(path, "markdown")[0].source
    title, question = first.split("\n\n")[:2]
    assert title.startswith(f"# {path.stem[:2]} · ")
    assert re.fullmatch(r"\*\*[^*]+\?\*\*", question)
    assert TIME.search(first)


@each_notebook
def test_has_the_parts_of_a_lesson(path):
    code = text(path, "code")
    for part in ("predict(", ".reveal(", "show_source(", "hint("):
        assert part in code
    assert re.search(r"^show\(.+\)$|^player$", code, re.MULTILINE), "no viewer"
    num_exercises = len(re.findall(r"^check\(", code, re.MULTILINE))
    assert 1 <= num_exercises <= (8 if path.stem == "13_bug_hunt" else 3)
    headings = re.findall(r"^#+ (.+)$", text(path, "markdown"), re.MULTILINE)
    assert any(heading.startswith("Break it") for heading in headings)
    assert headings[-3:] == PARTS_AT_THE_END


@each_notebook
def test_links_lead_to_files(path):
    targets = {t for t in LINK.findall(text(path, "markdown")) if not t.startswith("https://")}
    assert "../docs/glossary.md" in targets
    assert not [target for target in targets if not (path.parent / target).exists()]


@each_notebook
def test_recorded_figures_are_not_compared(path):
    """A new GPU run changes them, and that must not break the tests."""
    for cell in cells(path, "code"):
        if RECORDED.search(cell.source):
            assert "nbval-ignore-output" in cell.metadata.get("tags", ()), cell.source


@each_notebook
def test_no_stored_output_is_an_error(path):
    outputs = [output for cell in cells(path, "code") for output in cell.outputs]
    assert outputs, "not executed"
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]


@each_notebook
def test_readme_has_the_lesson_with_its_time(path):
    (minutes,) = TIME.findall(text(path, "markdown"))
    row = re.search(rf"^\| {path.stem[:2]} \|.+$", README, re.MULTILINE)
    assert row
    assert f"(notebooks/{path.name})" in row[0]
    assert f"| {minutes} min |" in row[0]


@each_notebook
def test_bold_terms_are_in_the_glossary(path):
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = {word[:5].lower() for word in re.findall(r"\w{3,}", " ".join(TERM.findall(glossary)))}
    bold = {" ".join(term.lower().split()) for term in BOLD.findall(text(path, "markdown"))}
    bold = {term for term in bold - STRESSED if "?" not in term}
    assert not [term for term in bold if not any(word in term for word in words)]


@each_notebook
def test_no_prediction_is_spoiled(path):
    """What reveals an answer is in a cell of its own, folded: `because` would give it away."""
    revealing = [cell for cell in cells(path, "code") if ".reveal(" in cell.source]
    assert revealing
    for cell in revealing:
        # JupyterLab shows the first line of a folded cell, Colab the title.
        first, code = cell.source.split("\n", 1)
        assert first == "# @title The answer: run this cell"
        assert re.match(r"\w+\.reveal\(", code), cell.source
        assert cell.metadata["jupyter"] == {"source_hidden": True}
        assert cell.metadata["cellView"] == "form"
        assert "reveal" in cell.metadata["tags"]  # what the site leaves out


@each_notebook
def test_every_exercise_has_a_hint_and_shows_none(path):
    hints = {cell.source: cell for cell in cells(path, "code") if cell.source.startswith("hint(")}
    wanted = [f'hint("{each.exercise_id}")' for each in exercises_of(path.stem[:2])]
    assert sorted(hints) == sorted(wanted)
    assert not any(cell.outputs for cell in hints.values())


@each_notebook
def test_an_exercise_says_how_hard_it_is(path):
    headings = re.findall(r"^#+ Exercise .+$", text(path, "markdown"), re.MULTILINE)
    levels = {each.exercise_id: each.level for each in exercises_of(path.stem[:2])}
    found = dict(re.fullmatch(r"#+ Exercise (\S+) · .+ \((\w+)\)", h).groups() for h in headings)
    assert found == levels


def test_the_first_thing_to_see_is_text_from_the_model():
    first = cells(PATHS[0], "code")[0]
    assert "llm.chat(" in first.source
    assert "KV cache" in first.outputs[0].text


def test_the_first_views_open_with_what_matters_most():
    code = text(PATHS[0], "code")
    shown = re.findall(r"^(?:show|player = StepPlayer)\(.+\)$", code, re.MULTILINE)
    assert len(shown) == 2
    assert all(line.endswith(', level="basic")') for line in shown)


@pytest.mark.parametrize("section", ["small", "main"])
def test_no_table_closes_more_than_two_lessons(section):
    assert sum(f'recorded("{section}")' in text(path, "code") for path in PATHS) <= 2
