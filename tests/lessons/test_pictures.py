"""Still pictures: the viewer's colours, and cells for what the records say."""

import re

from nanovllm_edu.lessons.charts import bars, lines
from nanovllm_edu.lessons.checks import checksum_engine, finish, greedy
from nanovllm_edu.lessons.pictures import PALETTE, ink_on, pool, timeline
from nanovllm_edu.viewer.source import module_source


def test_a_sequence_has_the_viewers_colour():
    listed = re.search(r"const COLOURS = \[(.*?)\];", module_source("ink"), re.DOTALL)
    assert listed
    assert tuple(re.findall(r"#[0-9a-f]{6}", listed[1])) == PALETTE


def test_ink_can_be_read():
    assert ink_on("#ffffff") != "white"
    assert ink_on("#102040") == "white"


def test_timeline_has_a_cell_per_span_and_per_wait():
    engine = checksum_engine(num_blocks=16, max_num_seqs=1)
    for _ in range(2):
        engine.add_request([1, 2, 3], greedy(2))
    records = finish(engine)
    axes = timeline(records, names=("first", "second")).figure.axes[0]
    num_spans = sum(len(record.spans) for record in records)
    num_waiting = sum(len(record.waiting) for record in records)
    assert len(axes.patches) == num_spans + num_waiting
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["·", "3", "·", "3"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]


def test_a_shared_block_has_a_strip_per_user():
    engine = checksum_engine(num_blocks=6)
    for tail in (5, 6):
        engine.add_request([1, 2, 3, 4, tail], greedy(3))
    engine.step()
    axes = pool(engine.state(), columns=6).figure.axes[0]
    assert len(axes.patches) == 6 + 1
    labels = [text.get_text() for text in axes.texts if text.get_text()]
    assert labels[:3] == ["0\ns0+s1", "1\ns0", "2\ns1"]


def test_bars_are_labelled_with_short_numbers():
    axes = bars(list("abcdef"), {"": [0, 0.0001, 0.12345, 27.324, 143, 12345.6]}).figure.axes[0]
    labels = [text.get_text().strip() for text in axes.texts]
    assert labels == ["–", "< 0.001", "0.123", "27.3", "143", "12,346"]


def test_a_marker_at_the_edge_of_the_axes_is_whole():
    axes = lines([1, 2], {"share": [0, 100]}).figure.axes[0]
    assert not axes.lines[0].get_clip_on()


def test_a_chart_says_its_only_name_once():
    plot = bars(["a", "b"], {"seconds": [1, 2]})
    assert (plot.title, plot.words) == ("seconds", "a 1, b 2")
    assert bars(["a"], {"x": [1], "y": [2]}).words == "x: a 1; y: a 2"


def test_a_title_is_as_wide_as_the_picture_at_most():
    figure = bars(
        ["a"], {"x": [1]}, title="Large pages suit the kernel, small ones the memory"
    ).figure
    figure.draw_without_rendering()
    assert figure.texts[0].get_window_extent().x1 <= figure.bbox.x1


def test_panels_share_a_scale_if_one_label_is_below_them():
    def ends(**options):
        panels = bars(["a"], {"percent": [80], "ms": [400]}, **options).figure.axes
        return [panel.get_xlim()[1] for panel in panels]

    assert ends() == [1.3 * 80, 1.3 * 400]
    assert ends(xlabel="both") == [1.3 * 400] * 2
    assert ends(limit=500) == [500, 500]


def test_a_logarithmic_axis_has_plain_numbers():
    figure = lines([1, 2], {"ms": [13, 430]}, log_y=True).figure
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {"20", "50", "100", "200"} <= set(labels)
