"""Text, HTML, diff and figures of a recording."""

import subprocess
import sys

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.introspect.diff import diff
from nanovllm_edu.introspect.html_export import embedded_json
from nanovllm_edu.introspect.latency import latencies
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.introspect.workload import play


@pytest.fixture(scope="module")
def recording():
    return play(3).recorder.recording


def test_text_is_the_same_for_equal_recordings(recording):
    assert recording.to_text() == play(3).recorder.recording.to_text()
    assert repr(recording) == repr(play(3).recorder.recording)
    assert recording._repr_html_() == play(3).recorder.recording._repr_html_()


def test_text_holds_every_reason(recording):
    text = recording.to_text()
    assert all(event.why in text for record in recording for event in record.events)


def test_text_of_some_steps_holds_only_those(recording):
    text = recording.to_text(2, 4)
    assert text.count("StepRecord ") == 2
    assert f"StepRecord {recording[3].step_id}:" in text


def test_diff_names_what_changed():
    engine = LLMEngine(ChecksumRunner(4, 4), EngineConfig())
    engine.add_request([1, 2, 3], SamplingParams(max_tokens=3))
    before = engine.state()
    engine.step()
    changes = {
        change.path: (change.before, change.after) for change in diff(before, engine.state())
    }
    assert changes["block 0 state"] == ("free", "used")
    assert changes["seq 0 num_computed_tokens"] == (0, 3)
    assert changes["running"] == ([], [0])
    assert "block 1 state" not in changes


def test_diff_of_equal_states_is_false(recording):
    assert not diff(recording.state_at(4), recording.state_at(4))
    assert repr(diff(recording[4], recording[4])) == "no change"


def test_diff_of_different_kinds_is_an_error(recording):
    with pytest.raises(ConfigError, match="two EngineStates"):
        diff(recording[0], recording.state_at(0))


def test_a_prompt_cannot_leave_its_script_element():
    assert "<" not in embedded_json({"text": "</script><script>alert(1)</script><!--"})


def test_the_page_loads_nothing(recording, tmp_path):
    page = recording.to_html(tmp_path / "x.html", title="<b>x</b>").read_text()
    assert "default-src 'none'" in page
    assert "<title>&lt;b&gt;x&lt;/b&gt;</title>" in page
    for loader in (' src="', "@import", "url(", "fetch(", "XMLHttpRequest", "import("):
        assert loader not in page


def test_latencies_count_from_when_a_request_came():
    engine = LLMEngine(ChecksumRunner(), EngineConfig())
    recorder = Recorder(engine)
    recorder.add_request([1, 2], SamplingParams(max_tokens=4))
    for _ in recorder.run(0):
        pass
    seconds = latencies(recorder.recording)
    assert seconds.first_token.keys() == {0}
    assert len(seconds.between_tokens) == 3
    assert all(value > 0 for value in (*seconds.between_tokens, seconds.first_token[0]))


@pytest.mark.parametrize("name", ["cache_occupancy", "batch_composition", "latency_distribution"])
def test_figures_draw_the_recording(name, recording):
    from nanovllm_edu.introspect import figures

    figure = getattr(figures, name)(recording)
    assert figure.axes[0].get_title(loc="left")
    assert len(figure.axes[0].get_legend().get_texts()) >= 2


def test_the_package_and_its_recorder_import_neither_widgets_nor_matplotlib():
    code = (
        "import sys, nanovllm_edu, nanovllm_edu.introspect; "
        "print([m for m in ('ipywidgets', 'anywidget', 'matplotlib', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_loaded_recording_gives_the_same_page(recording, tmp_path):
    loaded = Recording.load(recording.save(tmp_path / "x.json"))
    assert loaded.to_text() == recording.to_text()
