"""Pictures as SVG: what the lessons' drawing code asks of matplotlib, answered without it."""

import sys
from xml.etree import ElementTree

import pytest

from nanovllm_edu.introspect.plot import Plot
from nanovllm_edu.lessons.charts import bars, lines
from nanovllm_edu.lessons.checks import checksum_engine, finish, greedy
from nanovllm_edu.lessons.pictures import colour_of, pool, timeline
from nanovllm_edu.live.figure import Figure, modules

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)


def drawn(plot: Plot) -> ElementTree.Element:
    assert isinstance(plot.figure, Figure)
    return ElementTree.fromstring(plot.svg())


def words(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def rectangles(picture: ElementTree.Element, colour: str) -> list[dict[str, str]]:
    return [r.attrib for r in picture.iter(f"{SVG}rect") if r.attrib["fill"] == colour]


def test_a_timeline_has_a_cell_for_every_span():
    engine = checksum_engine()
    for i in range(2):
        engine.add_request([10 * i, 1, 2], greedy(3))
    records = finish(engine)
    picture = drawn(timeline(records, "A <title>", names=("first", "second")))
    for seq_id in range(2):
        spans = sum(seq_id in [span.seq_id for span in record.spans] for record in records)
        assert len(rectangles(picture, colour_of(seq_id))) == spans
    assert {"A <title>", "first", "second", "3", "0", "1"} <= set(words(picture))
    assert picture.attrib["aria-label"].startswith("A <title>: ")
    assert "#1d2530" not in ElementTree.tostring(picture, "unicode").partition("</style>")[2]


def test_a_pool_has_a_cell_for_every_block_from_left_to_right():
    engine = checksum_engine(num_blocks=6)
    engine.add_request(list(range(6)), greedy(3))
    engine.step()
    picture = drawn(pool(engine.state(), columns=6))
    cells = [*rectangles(picture, colour_of(0)), *rectangles(picture, "none")]
    assert len(cells) == 6
    assert [float(cell["x"]) for cell in cells] == sorted(float(cell["x"]) for cell in cells)
    assert words(picture).count("s0") == 2


def test_bars_are_as_long_as_their_values_and_the_first_is_on_top():
    picture = drawn(bars(["much", "little", "none"], {"one": [40, 10, 0], "two": [1, 2, 3]}))
    much, little, none = rectangles(picture, colour_of(0))
    assert float(much["width"]) == pytest.approx(4 * float(little["width"]), abs=0.5)
    assert float(none["width"]) == 0
    assert float(much["y"]) < float(little["y"]) < float(none["y"])
    assert len({r["y"] for r in rectangles(picture, colour_of(1))} | {much["y"], little["y"]}) == 3
    assert {"much", " 40", " 10", " –", "one", "two"} <= set(words(picture))


def test_lines_rise_with_their_values_on_even_scales_and_on_logarithmic_ones():
    for options, heights in (({}, [2, 4, 8]), ({"log_x": True, "log_y": True}, [10, 100, 1000])):
        picture = drawn(lines([1, 2, 4], {"a": heights, "b": [1, 1, 1]}, **options))
        line = next(picture.iter(f"{SVG}polyline")).attrib["points"]
        (x1, y1), (x2, y2), (x3, y3) = (map(float, p.split(",")) for p in line.split())
        assert x1 < x2 < x3 and y1 > y2 > y3, "down is more"
        if options:
            assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
            assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
        assert {"1", "2", "4", "a", "b"} <= set(words(picture))
