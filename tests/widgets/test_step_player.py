"""`StepPlayer` and `StepViewer` without a browser: the verbs, and what they send."""

import subprocess
import sys

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.memory.eviction import FIFO
from nanovllm_edu.core.schedule.policy import PhaseSeparatedPolicy
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, EngineClosedError
from nanovllm_edu.introspect.view import encode_view
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.widgets import StepPlayer, StepViewer, show
from tests.browser.recordings import Letters

PROMPT = "11 12 13 14 15 16 17 18"


@pytest.fixture
def player():
    config = EngineConfig(max_num_seqs=4, max_num_batched_tokens=12, eviction_policy=FIFO)
    player = StepPlayer(LLMEngine(ChecksumRunner(14, 4, max_model_len=40), config))
    for number, length in enumerate([14, 18, 12, 16]):
        player.add_prompt(f"{PROMPT} {100 + number} 7", max_tokens=length)
    return player


def test_step_drives_the_engine_and_back_does_not(player):
    player.step()
    player.step()
    state = player.engine.state()
    player.back()
    assert player.viewer.step == 0
    assert player.engine.state() == state
    player.step()  # forward through what is recorded
    assert player.viewer.step == 1
    assert player.engine.state() == state


@pytest.mark.parametrize("name", ["prefix hit", "preemption", "eviction", "sequence finishes"])
def test_run_to_stops_after_the_step_that_did_it(player, name):
    from nanovllm_edu.introspect.breakpoints import BREAKPOINTS

    player.run_to(name)
    hits = [k for k, record in enumerate(player.recording) if BREAKPOINTS[name](record)]
    assert hits == [player.viewer.step]
    assert len(player.recording) == player.viewer.step + 1
    assert name in player.controls.status.value


def test_an_unknown_breakpoint_names_the_known_ones(player):
    with pytest.raises(ConfigError, match="'lunch' is not one of prefix hit"):
        player.run_to("lunch")


def test_nothing_left_to_do_is_said(player):
    player.run_to("nothing left to do")
    player.step()
    assert "add a prompt" in player.controls.status.value


@pytest.mark.parametrize("changes", [{"policy": PhaseSeparatedPolicy()}, {"block_size": 2}])
def test_a_fork_is_stepped_with_the_original(player, changes):
    player.run_to("prefix hit")
    begin = len(player.recording)
    forked = player.fork(**changes)
    own = len(forked)
    assert own == (0 if "block_size" in changes else begin)  # the past is its own, or made anew
    for _ in range(3):
        player.step()
    assert len(forked) == own + 3
    assert len(player._views.children) == 2
    player.run_to("nothing left to do")
    assert player.viewer.step == player.last or player.fork_viewer.step == len(forked) - 1


def tokens_of(recording, first=0):
    return [(r.new_tokens, r.finished, r.events) for r in recording.records[first:]]


@pytest.mark.parametrize("at", [-1, 0, 4, 11])
def test_an_unchanged_fork_from_an_earlier_step_does_the_same(player, at):
    player.run_to("nothing left to do")
    original = player.recording
    player.go_to(at)
    forked = player.fork()
    assert forked.engine.state() == original.state_at(at)
    assert (player.viewer.step, player.fork_viewer.step) == (at, at)  # the same step side by side
    assert tokens_of(forked.recording) == tokens_of(original)[: at + 1]
    while player.position < player.last:
        player.step()
    assert forked.recording.records == original.records
    assert player.recording == original  # the original only moved its view
    for k in range(-1, len(original)):
        assert forked.recording.state_at(k) == original.state_at(k)
    for branch in player._branches:
        assert "the same so far" in branch.title.value or at == len(original) - 1
        assert branch.viewer.fork == {"at": at + 1, "differs": None}


def test_a_fork_from_an_earlier_step_goes_another_way(player):
    player.run_to("nothing left to do")
    player.go_to(2)
    forked = player.fork(policy=PhaseSeparatedPolicy())
    for _ in range(40):
        player.step()
    assert type(forked.engine.scheduler.policy) is PhaseSeparatedPolicy
    assert player.viewer.step == len(player.recording) - 1
    assert player.fork_viewer.step == len(forked) - 1
    assert tokens_of(forked.recording)[3:] != tokens_of(player.recording, 3)
    pairs = zip(forked.recording, player.recording, strict=False)
    differs = next(k for k, (one, other) in enumerate(pairs) if one != other)
    assert differs > 2
    for branch in player._branches:
        assert branch.viewer.fork == {"at": 3, "differs": differs}
        assert f"differs from step {differs} on" in branch.title.value
    player.go_to(2)
    assert (player.viewer.step, player.fork_viewer.step) == (2, 2)


def test_moving_either_view_moves_the_other(player):
    player.run_to("preemption")
    player.go_to(2)
    player.fork()
    for _ in range(4):
        player.step()
    player.viewer.step = 4
    assert player.fork_viewer.step == 4
    player.fork_viewer.step = 3
    assert player.viewer.step == 3
    assert player.controls.slider.value == 3


def test_a_fork_that_is_computed_anew_begins_beside_its_origin(player):
    player.run_to("preemption")
    player.go_to(2)
    player.fork(block_size=2)
    for _ in range(4):
        player.step()
    assert (player.viewer.step, player.fork_viewer.step) == (6, 3)
    player.fork_viewer.step = 0
    assert player.viewer.step == 3


def test_closing_the_fork_leaves_the_engine_alone(player):
    player.step()
    player.fork(block_size=2)
    player.step()
    engine = player.forked.engine
    player.controls.close_fork.click()
    assert player.forked is None
    assert len(player._views.children) == 1
    with pytest.raises(EngineClosedError):
        engine.step()
    player.step()


def test_a_temperature_changes_from_the_next_step_on(player):
    player.step()
    player.set_temperature(0.9, seq_id=1)
    player.step()
    assert {
        u.seq_id: u.sampling.temperature for u in player.recording[1].plan.sampling_updates
    } == {1: 0.9}
    player.set_temperature(0.5)
    player.step()
    updates = player.recording[2].plan.sampling_updates
    assert {u.sampling.temperature for u in updates} == {0.5}
    assert {u.seq_id for u in updates} == set(player.recording[2].spans.seq_ids)
    assert player.recording.state_at(2) == player.engine.state()
    player.go_to(1)
    assert player.fork().engine.state() == player.recording.state_at(1)


def test_a_temperature_of_nobody_is_a_message(player):
    player.run_to("nothing left to do")
    player.controls.whose.value = "all unfinished"
    player.controls.heat.click()
    assert "No sequence waits or runs" in player.controls.status.value
    player.controls.whose.value = "the selected one"
    player.controls.heat.click()
    assert "click one in the view" in player.controls.status.value


@pytest.mark.parametrize(
    ("text", "message"), [("", "prompt is empty"), ("1 x", "is not a token id"), ("99999", "99999")]
)
def test_a_prompt_that_cannot_be_is_a_message(player, text, message):
    player.controls.prompt.value = text
    player.controls.add.click()
    assert message in player.controls.status.value
    assert 'role="alert"' in player.controls.status.value


def test_enter_adds_the_prompt(player):
    player.controls.prompt.value = PROMPT
    player.controls.prompt._handle_custom_msg({"event": "submit"}, [])
    assert sorted(player.engine.unfinished_seq_ids()) == [0, 1, 2, 3, 4]
    assert player.controls.prompt.value == ""


def test_a_new_temperature_is_not_that_of_a_new_prompt(player):
    player.step()
    player.controls.temperature.value = 0.7
    player.controls.new_temperature.value = 0.3
    player.controls.whose.value = "all unfinished"
    player.controls.heat.click()
    assert "temperature 0.3" in player.controls.status.value
    player.controls.prompt.value = PROMPT
    player.controls.add.click()
    assert player.recording.requests[4].params.temperature == 0.7


def test_each_row_says_what_it_acts_on(player):
    titles = [row.children[0].value for row in player.controls.rows]
    for title, word in zip(titles, ("Engine", "New prompt", "Sequences", "Fork"), strict=True):
        assert word in title


def test_a_level_goes_to_every_view():
    player = StepPlayer(LLMEngine(ChecksumRunner(14, 4)), level="basic")
    player.add_prompt(PROMPT)
    player.fork()
    assert (player.viewer.level, player.fork_viewer.level) == ("basic", "basic")
    assert show(player.recording, level="why").level == "why"


def test_a_step_that_is_not_there_cannot_be_forked(player):
    with pytest.raises(ConfigError, match=r"step=7 is not in \[-1, -1\]"):
        player.fork(step=7)


def test_buttons_call_the_verbs_and_show_mistakes(player):
    player.controls.next.click()
    assert player.viewer.step == 0
    player.controls.prompt.value = "<b>no</b>"
    player.controls.add.click()
    assert "&lt;b&gt;" in player.controls.status.value
    assert "<b>" not in player.controls.status.value
    player.controls.policy.value = "phase-separated"
    player.controls.fork.click()
    assert type(player.forked.engine.scheduler.policy) is PhaseSeparatedPolicy


def test_what_is_sent_step_by_step_is_the_document(player):
    sent = []
    player.viewer.send = sent.append
    document = encode_view(player.recording)
    player.run_to("sequence finishes")
    player.add_prompt(PROMPT)
    player.step()
    for message in sent:
        assert message["first"] == len(document["journal"])
        document["journal"] += message["entries"]
    assert document["journal"] == encode_view(player.recording)["journal"]


def test_each_piece_of_text_is_sent_once():
    player = StepPlayer(LLMEngine(ChecksumRunner(14, 4), tokenizer=Letters()))
    sent = []
    player.viewer.send = sent.append
    player.add_prompt("abc", max_tokens=4)
    player.run_to("nothing left to do")
    pieces = [piece for message in sent for piece in message["pieces"]]
    assert len(pieces) == len(set(pieces))
    assert {int(piece) for piece in pieces} == player.recording.pieces.keys()


def test_a_view_that_missed_something_gets_it_again(player):
    player.step()
    sent = []
    player.viewer.send = sent.append
    player.viewer._handle_custom_msg({"type": "need", "first": 1}, [])
    journal = encode_view(player.recording)["journal"]
    assert sent[0]["entries"] == journal[1:]


def test_a_view_that_opens_later_gets_everything(player):
    player.step()
    state = player.viewer.get_state()
    assert state["recording"] == encode_view(player.recording)


def test_the_text_form_holds_no_address(player):
    viewer = show(player.recording)
    assert isinstance(viewer, StepViewer)
    for widget in (player, viewer):
        bundle = widget._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        assert data["text/plain"] == repr(widget)
        assert "0x" not in data["text/plain"]


def test_importing_the_package_loads_no_widgets():
    code = "import sys, nanovllm_edu.introspect; print('ipywidgets' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
