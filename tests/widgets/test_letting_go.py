"""Widgets let go: of their parts, of the engine they were given, and of the engines they made."""

import gc
import weakref

import pytest
from ipywidgets.widgets.widget import _instances

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import EngineClosedError
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.widgets import StepPlayer, show
from tests.notebook_kernel import Kernel


def make_engine() -> LLMEngine:
    return LLMEngine(ChecksumRunner(14, 4), EngineConfig(max_num_seqs=4))


@pytest.fixture
def new_widgets():
    """The widgets that are there and were not when the test began."""
    before = set(_instances)
    return lambda: [_instances[key] for key in set(_instances) - before]


def test_a_closed_player_leaves_no_widget(new_widgets):
    player = StepPlayer(make_engine())
    player.add_prompt("1 2 3", max_tokens=4)
    player.step()
    player.fork()
    assert len(new_widgets()) > 20
    player.close()
    assert new_widgets() == []


def test_a_closed_player_lets_go_of_the_engine(new_widgets):
    engine = make_engine()
    engine.add_request([1, 2, 3])
    engine.step()
    player = StepPlayer(engine)  # it has a past: the player keeps a copy of it
    player.step()
    forked = player.fork().engine
    past = player._rewinder._past
    player.close()
    for made in (forked, past):  # what it made is closed
        with pytest.raises(EngineClosedError):
            made.step()
    engine.step()  # what it was given is not
    alive = [weakref.ref(each) for each in (engine, forked, past)]
    del engine, forked, past, made
    gc.collect()
    assert [each() for each in alive] == [None] * 3  # though `player` is still there


def test_a_fork_from_an_earlier_step_leaves_no_engine_open_but_its_own(monkeypatch):
    player = StepPlayer(make_engine())
    player.add_prompt("1 2 3", max_tokens=6)
    for _ in range(4):
        player.step()
    made, init = [], LLMEngine.__init__

    def noted(self, *args, **options):
        made.append(self)
        init(self, *args, **options)

    monkeypatch.setattr(LLMEngine, "__init__", noted)
    player.fork(step=1)
    assert len(made) == 2  # the earlier one, made again, and its fork
    assert [engine for engine in made if not engine._is_closed] == [player.forked.engine]
    player.close()


def test_a_closed_player_says_so():
    player = StepPlayer(make_engine())
    player.close()
    player.close()
    assert repr(player) == "StepPlayer(closed)"
    with pytest.raises(EngineClosedError, match="this player is closed; make a new one"):
        player.step()


def test_a_closed_viewer_leaves_no_widget_and_no_recording(new_widgets):
    player = StepPlayer(make_engine())
    recording = player.recording
    player.close()
    viewer = show(recording)
    text = repr(viewer)
    viewer.close()
    assert new_widgets() == []
    kept = weakref.ref(recording)
    del recording
    gc.collect()
    assert kept() is None
    assert repr(viewer) == text


SETUP = """
import gc, weakref
from nanovllm_edu import ChecksumRunner, LLMEngine
from nanovllm_edu.introspect import Recording
from nanovllm_edu.widgets import StepPlayer, show
from ipywidgets.widgets.widget import _instances

def counts():
    gc.collect()
    kinds = LLMEngine, Recording
    return [sum(isinstance(thing, kind) for thing in gc.get_objects()) for kind in kinds] + [len(_instances)]
"""  # noqa: E501
PLAYER = """
engine = LLMEngine(ChecksumRunner(14, 4))
player = StepPlayer(engine)
player.add_prompt("1 2 3")
player.step()
player
"""
VIEWER = "show(player.recording)"


@pytest.fixture
def kernel():
    kernel = Kernel()
    kernel.run(SETUP)
    yield kernel
    kernel.close()


@pytest.mark.parametrize("front_end", ["with cell ids", "without"])
def test_a_cell_that_runs_six_times_keeps_one_engine(kernel, front_end):
    """Each run makes an engine and shows it; the output of the run before is gone from the page."""
    cells = ("player", "viewer") if front_end == "with cell ids" else (None, None)
    seen = []
    for _ in range(6):
        kernel.run(PLAYER, cells[0])
        kernel.run(VIEWER, cells[1])
        seen.append(kernel.run("counts()"))
    num_engines, num_recordings, num_widgets = map(int, seen[-1].strip("[]").split(","))
    assert (num_engines, num_recordings) == (1, 2)  # the player's view and the viewer's
    assert num_widgets < 120
    assert seen[1:] == [seen[1]] * 5


def test_two_players_of_one_cell_live_side_by_side(kernel):
    two = "a, b = (StepPlayer(LLMEngine(ChecksumRunner(14, 4))) for _ in 'ab')"
    assert kernel.run(f"{two}\nrepr(a), repr(b)", "two").count("closed") == 0
    kernel.run(f"before = a\n{two}", "two")
    assert kernel.run("[repr(before), repr(a)]").count("closed") == 1
    kernel.run("a.close(); b.close()")


def test_a_request_that_is_added_to_the_engine_directly_is_seen_at_once(kernel):
    kernel.run(PLAYER, "direct")
    kernel.run("seq_id = engine.add_request([4, 5, 6])", "elsewhere")
    shown = kernel.run("seq_id in player.viewer._recording.requests, player.viewer.step", "look")
    assert shown == "(True, 0)"
    kernel.run("player.close()")
