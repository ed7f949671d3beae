"""A plot takes the page's colours, stays small, and says what it shows."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from nanovllm_edu.introspect.plot import INK, LINE, PALE, Plot


@pytest.fixture
def plot():
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(3, 2), layout="constrained")
    pyplot.close(figure)
    axes.bar([0, 1], [2, 3], color=["#2063a6", PALE], edgecolor=LINE, hatch="//")
    axes.text(0.123456, 1, "a < b & c", color=INK)
    axes.text(1, 1, "on a colour", color="white")
    axes.text(1, 2, "0.113")
    return Plot(figure, "Two bars", 'a is 2, b is "3"')


def test_ink_is_the_pages_and_other_colours_stay(plot):
    svg = plot.svg()
    assert not [ink for ink in ("#000000", INK, LINE, PALE) if ink in svg.split("</style>", 1)[1]]
    assert "fill: currentColor" in svg
    assert "color-mix(in srgb, currentColor 7%, transparent)" in svg
    assert "#2063a6" in svg and "#ffffff" in svg
    assert "light-dark(" in svg, "as an image it has no page to ask"


def test_it_says_what_it_shows(plot):
    root = ElementTree.fromstring(plot.svg())
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'Two bars: a is 2, b is "3"'
    assert [e.text for e in root.iter() if e.text and "a < b" in e.text] == ["a < b & c"]
    assert repr(plot) == "<Plot: Two bars>"


def test_it_is_small_and_the_same_each_time(plot):
    svg = plot.svg()
    assert svg == plot.svg()
    assert svg.count("0.113") == 1, "what is written keeps its digits"
    assert not re.search(r"\d\.\d{3}", svg.replace("0.113", "")), "a tenth of a point is enough"
    assert "id=" in svg and not re.search(r'id="[^"]*_', svg), "only what is pointed to has a name"
    for name in re.findall(r"url\(#(\w+)\)", svg):
        assert f'id="{name}"' in svg


def test_a_notebook_gets_the_picture_and_one_line(plot):
    from IPython.core.interactiveshell import InteractiveShell

    formatter = InteractiveShell.instance().display_formatter
    bundle, _ = formatter.format(plot)
    assert bundle["image/svg+xml"] == plot.svg()
    assert bundle["text/plain"] == repr(plot)
    assert set(bundle) == {"image/svg+xml", "text/plain"}
