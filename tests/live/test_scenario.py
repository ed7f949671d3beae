"""Links: what they say comes back, and what is wrong with one is said by name."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.errors import ConfigError, NanoVLLMError
from nanovllm_edu.live.options import CHOICES, DEFAULTS, NUMBERS, changed_fields, engine_options
from nanovllm_edu.live.scenario import MAX_ARRIVALS, MAX_LINK, MAX_TEXT, Abort, Arrival, Scenario
from nanovllm_edu.live.scenes import SCENES

ROOT = Path(__file__).parents[2]
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)
ARRIVALS = st.lists(
    st.builds(Arrival, st.integers(0, 1500), st.integers(1, 256), TEXTS, st.booleans()), max_size=5
).map(lambda arrivals: tuple(sorted(arrivals)))
OPTIONS = st.fixed_dictionaries(
    {name: st.integers(low, high) for name, (_, low, high) in NUMBERS.items()}
    | {name: st.sampled_from(values) for name, values in CHOICES.items()}
)
ABORTS = st.lists(st.builds(Abort, st.integers(0, 1500), st.integers(0, 23)), max_size=3)


@given(OPTIONS, ARRIVALS, ABORTS.map(tuple), st.integers(0, 1500))
def test_a_link_says_what_the_scenario_is(options, arrivals, aborts, num_steps):
    scenario = Scenario(options, arrivals, aborts, num_steps)
    assert Scenario.from_link("#" + scenario.to_link()) == scenario


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("", "names no version"),
        ("lunch=1", "names no version"),
        ("v=2&ask=0,3,x", "version '2', and this page reads version 1"),
        ("v=1&ask", "cannot be read"),
        ("v=1&ask=%ff", "cannot be read"),
        ("v=1&ask=0,32", "not step,max_tokens,text"),
        ("v=1&ask=0,32,", "prompt is empty"),
        ("v=1&ask=0,0,x", "max_tokens: '0' is not a whole number from 1 to 256"),
        ("v=1&ask=-1,8,x", "ask: '-1' is not a whole number"),
        ("v=1&ask=00000000099999,8,x", "is not a whole number"),
        ("v=1&ask=٣,8,x", "is not a whole number"),
        (f"v=1&ask=0,8,{'x' * (MAX_TEXT + 1)}", f"at most {MAX_TEXT}"),
        ("v=1&ask=5,8,x&ask=4,8,x", "in order of time"),
        ("v=1" + "&ask=0,8,x" * (MAX_ARRIVALS + 1), f"more than {MAX_ARRIVALS} prompts"),
        ("v=1" + "&step=1" * 999, "cannot be read"),
        ("v=1&x=" + "y" * MAX_LINK, f"at most {MAX_LINK} are read"),
        ("v=1&num_blocks=100000", "num_blocks: '100000' is not a whole number from 4 to 256"),
        ("v=1&policy=os.system", "policy='os.system' is not one of mixed, phase-separated"),
        ("v=1&num_block=8", "did you mean 'num_blocks'"),
        ("v=1&step=1501", "step: '1501'"),
        ("v=1&abort=1", "abort: ''"),
    ],
)
def test_what_is_wrong_with_a_link_is_said(link, message):
    with pytest.raises(ConfigError, match=message):
        Scenario.from_link(link)


@given(st.text(max_size=60))
def test_any_text_is_a_scenario_or_a_sentence(text):
    for link in (text, "v=1&" + text, "v=1&ask=" + text):
        with suppress(NanoVLLMError):
            assert isinstance(Scenario.from_link(link), Scenario)


@pytest.mark.parametrize("name", SCENES)
def test_the_link_of_a_scene_is_short(name):
    assert len(SCENES[name].scenario.to_link()) < 1000


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_is_an_engine(name):
    for value in CHOICES[name]:
        EngineConfig.from_options(engine_options({**DEFAULTS, name: value}))


def test_a_change_names_the_fields_that_it_changes_and_no_other():
    assert changed_fields(DEFAULTS, {"prefix_cache": "off"}) == {
        "enable_prefix_caching": False,
        "prefix_cache": "hash",
    }
    assert changed_fields(DEFAULTS, {"num_blocks": 9}) == {"num_blocks": 9}


def test_the_page_says_how_a_link_is_made():
    page = (ROOT / "docs" / "try.md").read_text("utf-8")
    [link] = re.findall(r"try\.html(#\S+)", page)
    scenario = Scenario.from_link(link)
    assert scenario.num_steps == 5 and len(scenario.arrivals) == 2
    named = set(re.findall(r"`(\w+)`", page))
    assert named >= {*DEFAULTS, "ask", "say", "step"}
    for name, values in CHOICES.items():
        assert f"`{name}` ({', '.join(values)})" in " ".join(page.split())
