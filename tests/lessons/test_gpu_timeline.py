"""The recorded timeline: what is counted as idle, which steps are shown, and the picture."""

import json

import pytest

from nanovllm_edu.lessons.gpu_timeline import GPUTimeline, Interval, recorded_timeline

HOST_US, DEVICE_US = 100, 800


def step(step_id, begin, *, kind="decode", num_seqs=8, gap=0):
    """One step: 100 us of host work, then 800 us on the GPU, `gap` us after its launch."""
    launched = begin + HOST_US
    device = [launched + gap, launched + gap + DEVICE_US]
    return {
        "step_id": step_id,
        "num_tokens": num_seqs if kind == "decode" else 512,
        "num_seqs": num_seqs,
        "kind": kind,
        "plan": [begin, begin + 60],
        "launch": [begin + 60, launched],
        "wait": [launched, device[1]],
        "commit": [device[1], device[1] + 20],
        "device": device,
    }


def taking_turns(num_steps):
    """Depth 0: the host works for 120 us between two steps, and the GPU stands still."""
    return [step(i, i * (HOST_US + DEVICE_US + 20)) for i in range(num_steps)]


def overlapped(num_steps):
    """Depth 1: the GPU goes from one step to the next."""
    return [step(i, i * DEVICE_US) for i in range(num_steps)]


@pytest.fixture
def path(tmp_path):
    runs = [{"depth": 0, "steps": taking_turns(12)}, {"depth": 1, "steps": overlapped(12)}]
    data = {"gpu": "a <GPU>", "date": "2026-01-01", "command": "made up", "runs": runs}
    path = tmp_path / "timeline.json"
    path.write_text(json.dumps(data))
    return path


def test_idle_time_is_what_lies_between_steps(path):
    timeline = recorded_timeline(path)
    assert timeline.step_us(0) == HOST_US + DEVICE_US + 20
    assert timeline.idle_share(0) == pytest.approx(11 * 120 / (11 * 920 + 800))
    assert timeline.step_us(1) == DEVICE_US
    assert timeline.idle_share(1) == 0
    assert "depth 0: 0.92 ms per step, GPU idle 12.1%" in repr(timeline)
    assert "depth 1: 0.80 ms per step, GPU idle 0.0%" in repr(timeline)


def test_the_longest_stretch_of_equal_decode_steps_is_shown(tmp_path):
    steps = [step(0, 0, kind="prefill"), *(step(i, 920 * i) for i in (1, 2))]
    steps += [step(3, 2760, kind="prefill"), *(step(i, 920 * i, num_seqs=9) for i in range(4, 9))]
    steps += [step(9, 8280, num_seqs=7)]
    path = tmp_path / "timeline.json"
    path.write_text(json.dumps({"gpu": "", "date": "", "runs": [{"depth": 0, "steps": steps}]}))
    timeline = recorded_timeline(path)
    assert [s.step_id for s in timeline.decode(0)] == [4, 5, 6, 7, 8]
    assert [s.step_id for s in timeline.decode(0, 3)] == [5, 6, 7]
    assert [s.step_id for s in timeline.decode(0, 99)] == [4, 5, 6, 7, 8]


def test_draws_host_above_gpu_on_one_time_scale(path):
    figure = recorded_timeline(path).draw(count=4).figure
    above, below = figure.axes
    assert above.get_title(loc="left").startswith("depth 0: a step every 0.92 ms")
    assert below.get_title(loc="left").startswith("depth 1: a step every 0.80 ms")
    assert [label.get_text() for label in above.get_yticklabels()] == ["host", "GPU"]
    assert above.get_xlim() == below.get_xlim()
    hatched = [[bar for bar in axes.patches if bar.get_hatch()] for axes in figure.axes]
    assert [len(bars) for bars in hatched] == [3, 0]
    assert all(bar.get_width() == 120 for bar in hatched[0])
    assert recorded_timeline(path)._repr_svg_().startswith("<svg")


def test_a_missing_file_is_said(tmp_path):
    timeline = recorded_timeline(tmp_path / "none.json")
    assert timeline == GPUTimeline("", "", {})
    assert repr(timeline).startswith("No GPU timeline is recorded here")
    assert timeline._repr_svg_() is None


def test_what_lies_outside_the_window_is_cut_off():
    window = Interval(100, 200)
    assert Interval(50, 150).within(window) == Interval(100, 150)
    assert Interval(150, 250).within(window) == Interval(150, 200)
    assert Interval(0, 50).within(window).length == 0
    assert Interval(250, 300).within(window).length == 0
