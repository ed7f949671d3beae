"""Text, HTML, diff and figures of a recording."""

import subprocess
import sys
from dataclasses import replace

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import kind_of
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.introspect import Recorder, Recording, figures, load, save, to_html, to_text
from nanovllm_edu.introspect.diff import diff
from nanovllm_edu.introspect.latency import latencies
from nanovllm_edu.runners.checksum import ChecksumRunner, ReadyTicket
from nanovllm_edu.viewer.page import embedded_json
from tests.introspect.workload import play


@pytest.fixture(scope="module")
def recording():
    return play(3).recorder.recording


def test_text_is_the_same_for_equal_recordings(recording):
    assert to_text(recording) == to_text(play(3).recorder.recording)
    assert repr(recording) == repr(play(3).recorder.recording)
    assert recording._repr_html_() == play(3).recorder.recording._repr_html_()


def test_text_holds_every_reason(recording):
    text = to_text(recording)
    assert all(event.why in text for record in recording for event in record.events)


def test_text_of_some_steps_holds_only_those(recording):
    text = to_text(recording, 2, 4)
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
    page = to_html(recording, tmp_path / "x.html", title="<b>x</b>").read_text()
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
    recording, clock = recorder.recording, iter([2.0, 5.0, 6.0, 7.5, 11.0])
    journal = tuple(replace(entry, seconds=next(clock)) for entry in recording.journal)
    seconds = latencies(Recording(recording.initial, journal, recording.engine))
    assert seconds.first_token == {0: 3.0}
    assert seconds.between_tokens == (1.0, 1.5, 3.5)


@pytest.mark.parametrize("name", ["cache_occupancy", "batch_composition", "latency_distribution"])
def test_figures_draw_the_recording(name, recording):
    plot = getattr(figures, name)(recording)
    assert plot.figure.axes[0].get_title(loc="left") == plot.title
    assert len(plot.figure.axes[0].get_legend().get_texts()) >= 2
    assert plot.words


def test_cache_occupancy_stacks_used_and_cached_blocks(recording):
    areas = figures.cache_occupancy(recording).figure.axes[0].collections
    used, cached = (area.get_paths()[0] for area in areas)
    for k in range(len(recording) - 1):  # a step's level is drawn up to the next step
        state, x = recording.state_at(k), k + 0.5
        num_used, num_cached = state.num_blocks("used"), state.num_blocks("cached")
        inside = [used.contains_point((x, y - 0.5)) for y in range(1, 14)]
        assert inside == [y <= num_used for y in range(1, 14)]
        inside = [cached.contains_point((x, y - 0.5)) for y in range(1, 14)]
        assert inside == [num_used < y <= num_used + num_cached for y in range(1, 14)]


def test_batch_composition_stacks_decode_and_prefill(recording):
    decode, prefill = figures.batch_composition(recording).figure.axes[0].containers[:2]
    for record, low, high in zip(recording, decode, prefill, strict=True):
        num_decode = sum(s.num_tokens for s in record.spans if kind_of(s) != "prefill")
        assert low.get_height() == num_decode
        assert high.get_height() == record.num_tokens - num_decode
        assert high.get_y() == num_decode


def test_latency_distribution_is_that_of_the_latencies(recording):
    lines = figures.latency_distribution(recording).figure.axes[0].lines
    seconds = latencies(recording)
    for line, values in zip(
        lines, (seconds.first_token.values(), seconds.between_tokens), strict=True
    ):
        assert list(line.get_xdata()) == [1e3 * value for value in sorted(values)]
        assert line.get_ydata()[-1] == 1.0


def test_roofline_places_each_step_under_the_roof():
    engine = LLMEngine(ChecksumRunner(), EngineConfig())
    launch, seconds = engine.runner.launch, 0.002
    engine.runner.launch = lambda plan: ReadyTicket(
        replace(launch(plan).wait(), timings={"forward": seconds})
    )
    recorder = Recorder(engine)
    recorder.add_request([1, 2, 3], SamplingParams(max_tokens=3))
    for _ in recorder.run(0):
        pass
    axes = figures.roofline(
        recorder.recording, num_parameters=1000, bytes_per_value=2, kv_bytes_per_token=10,
        peak_flops=1e9, peak_bandwidth=1e6,
    ).figure.axes[0]  # fmt: skip
    prefill, decode = (points.get_offsets() for points in axes.collections)
    assert prefill.tolist() == [[2 * 1000 * 3 / (2000 + 30), 2 * 1000 * 3 / seconds]]
    assert decode.tolist() == [[2000 / (2000 + 10 * end), 2000 / seconds] for end in (4, 5)]
    roof = axes.lines[0]
    assert roof.get_xdata()[1] == 1000.0
    assert list(roof.get_ydata()) == [1e6, 1e9, 1e9]


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
    loaded = load(save(recording, tmp_path / "x.json"))
    assert to_text(loaded) == to_text(recording)


class Marks:
    """A tokenizer that leaves special tokens out of its text, as models' tokenizers do."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: list[int]) -> str:
        return "".join(chr(i) for i in token_ids if i != 1)

    def pieces(self, token_ids: list[int]) -> list[str]:
        return ["<|start|>" if i == 1 else chr(i) for i in token_ids]


def test_special_tokens_are_recorded_as_themselves_and_a_space_as_a_space():
    engine = LLMEngine(ChecksumRunner(), tokenizer=Marks())
    recorder = Recorder(engine)
    recorder.add_request([1, 72, 32, 105], SamplingParams(max_tokens=2))
    pieces = recorder.recording.pieces
    assert [pieces[i] for i in (1, 72, 32, 105)] == ["<|start|>", "H", " ", "i"]


def test_one_is_singular():
    recorder = Recorder(LLMEngine(ChecksumRunner()))
    recorder.add_request([1, 2], SamplingParams(max_tokens=1))
    recorder.step()
    assert repr(recorder.recording).startswith("Recording of 1 step and 1 sequence: ")


@pytest.mark.parametrize("k", [0, 5, 20])
def test_what_goes_on_from_a_beginning_does_not_change_the_whole(recording, k):
    begin = recording.begin(k)
    assert begin.records == recording.records[: k + 1]
    fold = begin.fold_to(k)
    for seq_id, tokens in fold.history.token_ids.items():  # somebody goes another way from here
        tokens.append(-seq_id)
    for index in (k, len(recording) - 1):
        assert recording.state_at(index) == play(3).recorder.recording.state_at(index)
