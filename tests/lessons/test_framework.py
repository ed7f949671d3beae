"""Checks, hints, predictions and shown source, apart from any particular exercise."""

import contextlib
import itertools
import runpy
import sys
import time
from textwrap import dedent

import pytest

from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.lessons import Exercise, predict, recorded, show_c_source, show_source
from nanovllm_edu.lessons.cases import case
from nanovllm_edu.lessons.detective import who
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.lessons.progress import Progress
from nanovllm_edu.lessons.registry import Ladders, UnknownExerciseError, find
from nanovllm_edu.lessons.sandbox import run_bounded
from nanovllm_edu.lessons.source import SourceView
from nanovllm_edu.lessons.static_batching import StaticPolicy


def test_endless_loop_is_stopped_and_its_line_named():
    def endless(answer):
        total = 0
        while True:
            total += 1

    with pytest.raises(Wrong, match=r"stopped after 500 lines, at line \d+: .*Does this loop"):
        run_bounded(endless, None, max_lines=500)


def test_endless_loop_cannot_be_caught_by_the_learner():
    def stubborn(answer):
        while True:
            with contextlib.suppress(Exception):
                pass

    with pytest.raises(Wrong, match="stopped after 500 lines"):
        run_bounded(stubborn, None, max_lines=500)


def test_exception_names_the_learners_own_line():
    def divides(answer):
        return 1 / answer

    with pytest.raises(Wrong, match=r"ZeroDivisionError: division by zero. Your line \d+: return"):
        run_bounded(divides, 0)


def learners(source, tmp_path, name="answer"):
    """A function as a learner writes it: in a file of their own."""
    path = tmp_path / "learners.py"
    path.write_text(dedent(source), encoding="utf-8")
    return runpy.run_path(str(path))[name]


def verdict(source, tmp_path):
    """What it is told, and that it did not take long."""
    answer = learners(source, tmp_path)
    begin = time.monotonic()
    with pytest.raises(Wrong) as told:
        run_bounded(lambda given: given(), answer)
    assert time.monotonic() - begin < 5.5
    return str(told.value)


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "while True: [0] * 10",
        "while True:\n        try: x = 1 / 0\n        except: pass",
        "while True:\n        try:\n            x = 1\n        except BaseException: x = 2",
        "[i for i in iter(int, 1)]",
        "all(True for i in iter(int, 1))",
        "import time\n    while True: time.sleep(0.1)",
        "import time\n    while True:\n        try: time.sleep(0.01)\n        except: pass",
    ],
)
def test_no_loop_is_endless(body, tmp_path):
    told = verdict(f"def answer():\n    {body}\n", tmp_path)
    assert "Your code was stopped after" in told
    assert "Does this loop ever end?" in told


def test_a_slow_loop_is_stopped_at_its_line(tmp_path):
    told = verdict("def answer():\n    import time\n    while True: time.sleep(0.1)", tmp_path)
    assert "stopped after 4 seconds, at line 3: 'while True: time.sleep(0.1)'" in told


@pytest.mark.parametrize("what", ['""', "'x' * 10_000_000", "'x', file=__import__('sys').stderr"])
def test_endless_output_is_stopped(what, tmp_path, capsys):
    told = verdict(f"def answer():\n    while True: print({what})\n", tmp_path)
    assert told.startswith(
        "Your code was stopped after it had printed 20,000 characters, at line 2"
    )
    captured = capsys.readouterr()
    assert len(captured.out) + len(captured.err) <= 20_000


def test_what_is_printed_in_between_is_shown(capsys):
    assert run_bounded(lambda answer: print("here") or "fine", None) == "fine"
    assert capsys.readouterr().out == "here\n"


@pytest.mark.parametrize(
    "call", ["import sys; sys.exit()", "exit(3)", "quit()", "raise SystemExit"]
)
def test_ending_the_program_is_a_verdict(call, tmp_path):
    told = verdict(f"def answer():\n    {call}\n", tmp_path)
    assert "ends the program" in told
    assert "Your line 2" in told


def test_recursion_without_end_is_a_verdict(tmp_path):
    told = verdict("def answer(n=0):\n    return 1 + answer(n + 1)\n", tmp_path)
    assert told.startswith("Your code calls itself without end")
    assert "Your line 2: return 1 + answer(n + 1)" in told


@pytest.mark.parametrize(
    "line",
    [
        "return np.random.default_rng(-1)",  # raises in compiled code that has lines of its own
        "return np.array([1, 2]) @ np.array([1, 2, 3])",
        "return torch.zeros(2) @ torch.zeros(3)",
        "return np.split(np.arange(3), 2)",
    ],
)
def test_the_line_named_is_never_one_of_a_library(line, tmp_path):
    told = verdict(f"import numpy as np, torch\ndef answer():\n    {line}\n", tmp_path)
    assert told.endswith(f"Your line 3: {line}")


def test_a_stopped_check_leaves_nothing_behind(tmp_path):
    """Neither a late exception nor a trace function."""
    before = sys.gettrace()
    verdict("def answer():\n    import time\n    while True: time.sleep(0.01)", tmp_path)
    for _ in range(10):
        time.sleep(0.02)
    assert sys.gettrace() is before


def test_messages_have_a_limit():
    def answer(block_table, start, num_tokens, block_size):
        return [0] * 50_000

    result = Ladders().check("03.1", answer)
    assert "you gave 50000" in result.message
    assert len(result.message) < 500

    def raises(block_table, start, num_tokens, block_size):
        raise ValueError("x" * 10**6)

    assert len(Ladders().check("03.1", raises).message) < 1000


def test_a_number_too_long_to_be_written_is_a_verdict():
    def answer(num_held, num_tokens, block_size):
        return 1 << 10**6

    assert "yours has 1,000,001" in Ladders().check("03.2", answer).message


def test_an_endless_answer_is_no_list():
    def answer(block_table, start, num_tokens, block_size):
        return itertools.count()

    assert "has more than 100,000 entries" in Ladders().check("03.1", answer).message


def test_a_forgotten_return_is_named():
    def answer(block_table, start, num_tokens, block_size):
        slots = [block_table[0]]
        slots.append(start)

    result = Ladders().check("03.1", answer)
    assert result.message.startswith("`slot_mapping` gave None: it came to its end without")


def test_a_result_in_the_place_of_the_function_is_named():
    result = Ladders().check("03.1", [28, 29])
    assert 'check("03.1", slot_mapping). You gave [28, 29] (list)' in result.message
    assert "Give the class itself" in Ladders().check("06.1", StaticPolicy()).message


def test_progress_survives_the_kernel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "progress.json").write_text('{"learner": 5}', encoding="utf-8")
    first = Ladders(Progress.beside_the_notebook())
    first.hint("01.2")
    first.hint("01.2")
    assert first.check("01.2", lambda p, n: sum(range(p, p + n)))
    second = Ladders(Progress.beside_the_notebook())
    assert second.hint("01.2").rung == 3
    row = next(row for row in second.progress().rows if row.exercise_id == "01.2")
    assert (row.is_solved, row.num_hints) == (True, 3)
    assert "1 of " in repr(second.progress())
    assert "<table" in second.progress()._repr_html_()
    assert Progress.beside_the_notebook().learner == 5


def test_without_a_progress_file_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Ladders(Progress.beside_the_notebook()).hint("01.2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", '{"learner": "x"}', '{"exercises": 3}'])
def test_a_broken_progress_file_is_put_aside(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "progress.json").write_text(text, encoding="utf-8")
    assert Ladders(Progress.beside_the_notebook()).hint("01.2").rung == 1
    assert (tmp_path / "progress.broken").read_text(encoding="utf-8") == text


def test_an_earlier_trace_function_is_restored():
    before = sys.gettrace()
    run_bounded(lambda answer: "fine", None)
    assert sys.gettrace() is before


def test_a_wrong_number_of_arguments_is_a_verdict():
    def takes_nothing(): ...

    result = Ladders().check("03.1", takes_nothing)
    assert not result
    assert "takes 0 positional arguments" in result.message


def test_result_is_deterministic_and_escaped():
    def answer(block_table, start, num_tokens, block_size):
        raise ValueError("<b>")

    result = Ladders().check("03.1", answer)
    assert repr(result) == repr(Ladders().check("03.1", answer))
    assert "<b>" in repr(result)
    assert "&lt;b&gt;" in result._repr_html_()


def test_boxes_take_their_colours_from_where_they_are_shown():
    bet = predict("How many?", 1, 2)
    shown = (Ladders().check("03.1", lambda *a: None), Ladders().hint("03.1"), bet, bet.reveal(1))
    for box in shown:
        for theme in ("--jp-", "--vscode-", "--colab-"):  # JupyterLab, VS Code, Colab
            assert theme in box._repr_html_(), type(box).__name__


def test_hints_climb_and_stay_at_the_top():
    ladders = Ladders()
    hints = [ladders.hint("03.1") for _ in range(4)]
    assert [hint.rung for hint in hints] == [1, 2, 3, 3]
    assert "hint 1 of 3" in Ladders().check("03.1", lambda *a: None).next_step
    assert "solutions/lesson_03.py" in ladders.check("03.1", lambda *a: None).next_step


def test_unknown_exercise_lists_the_known_ones():
    with pytest.raises(UnknownExerciseError, match=r"no exercise '03.9'; there are 03.1"):
        find("03.9")
    with pytest.raises(UnknownExerciseError, match="there are lessons"):
        find("77.1")


def test_an_exercise_has_three_hints():
    with pytest.raises(AssertionError):
        Exercise("03.1", "t", "f", "easy", ("one",), lambda answer, random: "")


def test_prediction_is_settled_by_the_live_answer():
    bet = predict("How many <blocks>?", 2, 3)
    assert repr(bet) == "Predict: How many <blocks>?\n  a) 2\n  b) 3"
    assert "&lt;blocks&gt;" in bet._repr_html_()
    assert repr(bet.reveal(3, because="9 > 8")) == "Answer: 3: 9 > 8"
    bet.pick(2)
    assert repr(bet.reveal(3)).startswith("You predicted 2")
    bet.pick(3)
    assert repr(bet.reveal(3)).startswith("✓ As you predicted")
    with pytest.raises(ValueError, match="none of 2, 3"):
        bet.reveal(4)


def test_an_answer_that_nobody_bet_on_stays_folded():
    bet = predict("How many?", 2, 3)
    assert bet.reveal(3, because="so")._repr_html_().startswith("<details")
    bet.pick(2)
    assert "<details" not in bet.reveal(3, because="so")._repr_html_()


def test_the_suspects_are_shuffled_for_each_learner():
    orders = {learner: [who(n, learner).options for n in range(1, 9)] for learner in range(20)}
    assert orders[3] == [who(n, 3).options for n in range(1, 9)]
    assert len({str(order) for order in orders.values()}) == 20
    for order in orders.values():
        places = [options.index(case(n).name) for n, options in enumerate(order, 1)]
        assert places != list(range(8))
        assert len(set(places)) > 1


def test_clicking_a_prediction_picks_it():
    bet = predict("How many?", 2, 3)
    bundle = bet._repr_mimebundle_()
    assert bundle["text/plain"] == repr(bet)
    bet._radio_buttons().children[1].value = "3"
    assert bet.picked == "3"


def test_c_is_shown_with_the_comment_above_it() -> None:
    view = show_c_source("paged_attention.c", "weigh")
    assert view.place == "nanovllm_edu/native/paged_attention.c · weigh"
    assert view.code.startswith("/* Turns one head's scores")
    assert view.code.endswith("\n}")
    assert view._repr_markdown_().count("```c\n") == 1


def test_source_is_the_packages_own():
    view = show_source(block_hash)
    assert isinstance(view, SourceView)
    assert view.place == "nanovllm_edu/core/memory/block_hash.py · block_hash"
    assert view.code.startswith("def block_hash(")


def test_a_missing_recording_says_how_to_make_one():
    assert "run benchmarks/gpu.py" in repr(recorded("no such section"))
