"""The engine behind the page, verb by verb, as a page would ask for them."""

import json
import re

import pytest

from nanovllm_edu.errors import NanoVLLMError
from nanovllm_edu.introspect.decoder import decode
from nanovllm_edu.introspect.view import FORMAT, encode_view
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.live.answers import VERBS, answer
from nanovllm_edu.live.engine import make_tokenizer
from nanovllm_edu.live.guided import CHAT
from nanovllm_edu.live.scenario import MAX_ARRIVALS, Scenario
from nanovllm_edu.live.scenes import FIVE, SCENES, SYSTEM
from nanovllm_edu.live.session import Session

TWO = "v=1&num_blocks=12&say=0,12,Once upon a time&say=3,12,One morning the baker"
MINE = """
class Mine:
    def order(self, running, waiting):
        return [[*waiting, *running]]

    def victim(self, candidates):
        return candidates[0]
"""


class Page:
    """Asks as the worker does, and keeps what the viewer would."""

    def __init__(self) -> None:
        self.session = Session()
        self.documents: list[dict] = []

    def ask(self, verb, **arguments):
        said = json.loads(answer(self.session, verb, json.dumps(arguments)))
        if "error" in said:
            raise AssertionError(said["error"])
        value = said["value"]
        if "branches" in value:
            self.take(value["branches"])
        return value

    def take(self, branches) -> None:
        self.documents = self.documents[: len(branches)]
        for i, branch in enumerate(branches):
            if "document" in branch:
                self.documents[i:] = [branch["document"]]
            else:
                self.documents[i]["journal"] += branch["entries"]
                self.documents[i]["pieces"] |= branch["pieces"]

    def refusal(self, verb, **arguments) -> str:
        return json.loads(answer(self.session, verb, json.dumps(arguments)))["error"]

    def run(self):
        updates = [self.ask("step")]
        while updates[-1]["has_work"]:
            updates.append(self.ask("step"))
        return updates


@pytest.fixture
def page():
    page = Page()
    page.ask("start", link=TWO)
    return page


def from_scratch(page):
    """What a page that opens now would be given."""
    recording = decode(json.loads(page.ask("recording")))
    return json.loads(json.dumps(encode_view(recording)))


def test_what_comes_bit_by_bit_is_the_whole(page):
    assert page.documents[0]["format"] == FORMAT
    page.run()
    page.ask("add", text="And then?")
    page.run()
    whole = from_scratch(page)
    assert page.documents[0]["journal"] == whole["journal"]
    assert page.documents[0]["pieces"] == whole["pieces"]


def test_people_come_when_the_scenario_says(page):
    page.run()
    kinds = [next(iter(entry)) for entry in page.documents[0]["journal"]]
    assert kinds[:6] == ["add", "step", "step", "step", "add", "step"]


def test_nobody_is_waited_for_in_vain(page):
    page.ask("start", link="v=1&say=0,2,Hello&say=900,2,Hello again")
    assert page.run()[-1]["last"] < 10


def test_a_link_leads_back_to_where_one_was(page):
    for _ in range(4):
        page.ask("step")
    page.ask("add", text="What is a block?", max_tokens=9)
    page.ask("abort", seq_id=0)
    here = page.ask("step")
    twin = Page()
    there = twin.ask("start", link=here["link"])
    assert there["last"] == here["last"] and there["link"] == here["link"]
    for ours, theirs in zip(page.run(), twin.run(), strict=True):
        assert ours["link"] == theirs["link"]
    steps = [[e for e in p.documents[0]["journal"] if "step" in e] for p in (page, twin)]
    for one, other in zip(*steps, strict=True):
        assert one | {"times": 0, "at": 0} == other | {"times": 0, "at": 0}


def test_every_step_says_which_breakpoints_it_reaches(page):
    told = {}
    for update in page.run():
        told |= update["reached"]
    recording = page.session._driven.main.recorder.recording
    assert "prefix hit" not in told.get("0", ())
    assert told[str(len(recording) - 1)] == ["nothing left to do", "sequence finishes"]
    begun = Page().ask("start", link=f"{TWO}&step={len(recording)}")
    assert begun["reached"] == told


@pytest.mark.parametrize(
    "options", [{"policy": "phase-separated"}, {"num_blocks": "8"}, {"prefix_cache": "off"}, {}]
)
def test_a_fork_goes_its_own_way_beside_the_engine(page, options):
    for _ in range(6):
        page.ask("step")
    update = page.ask("fork", at=1, options={**update_options(page), **options})
    assert [b["last"] for b in update["branches"]] == [5, 5]
    assert update["since"] == 2 and len(page.documents) == 2
    page.run()
    recording = page.session._driven.fork.recorder.recording
    assert {*recording.requests} == {0, 1}  # the one who came later came to the fork as well
    assert len(page.ask("close_fork")["branches"]) == 1


def update_options(page):
    return page.session._driven.main.scenario.options


def test_a_fork_before_the_first_step_knows_who_is_there(page):
    page.ask("step")
    page.ask("fork", at=-1, options={"block_size": 4})
    page.run()
    assert {*page.session._driven.fork.recorder.recording.requests} == {0, 1}


def test_a_policy_of_ones_own_runs_in_a_fork(page):
    page.ask("step")
    update = page.ask("fork", at=0, options={}, source=MINE)
    assert update["branches"][1]["name"] == "fork with Mine"
    assert page.documents[1]["engine"]["policy"] == "Mine"
    page.run()


def test_a_policy_that_fails_is_quoted(page):
    page.ask("step")
    source = MINE.replace("[[*waiting, *running]]", "[[*waiting, *running], [1 / 0]]")
    page.ask("fork", at=0, options={}, source=source)
    said = page.refusal("step")
    assert "ZeroDivisionError" in said and "[1 / 0]" in said
    assert len(page.ask("step")["branches"]) == 1, "it goes, and the engine goes on"


def test_a_policy_that_fails_at_once_leaves_no_fork(page):
    for _ in range(2):
        page.ask("step")
    page.refusal("fork", at=0, options={}, source=MINE.replace("[[*waiting, *running]]", "1 / 0"))
    assert len(page.ask("step")["branches"]) == 1


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("lunch", {}, "'lunch' is not one of abort, add"),
        ("__init__", {}, "is not one of"),
        ("step", {"at": 3}, "unexpected keyword"),
        ("add", {"text": " "}, "prompt is empty"),
        ("add", {"text": "word " * 200}, "num_blocks"),
        ("add", {"text": "x", "max_tokens": "many"}, "not a whole number"),
        ("abort", {"seq_id": 7}, "neither waits nor runs"),
        ("fork", {"at": 5, "options": {}}, r"not in \[-1, -1\]"),
        ("fork", {"at": -1, "options": {"max_num_seqs": 2}}, "cannot change"),
        ("fork", {"at": -1, "options": {}, "source": "x = 1"}, "no class here"),
        ("start", {"link": "v=7"}, "version '7'"),
        ("start", {"options": {"num_blocks": 1}}, "from 4 to 256"),
        ("start", {"kind": "lunch"}, "not one of checksum, model"),
        ("start", {"scene": "lunch"}, "not one of five, prefix, memory, long"),
        ("start", {"link": "v=1&num_blocks=4&ask=9,200,Hello"}, "num_blocks"),
    ],
)
def test_a_mistake_is_a_sentence_and_changes_nothing(page, verb, arguments, message):
    before = page.ask("close_fork")
    said = page.refusal(verb, **arguments)
    assert re.search(message, said)
    assert page.ask("close_fork") == before | {"reached": {}, "branches": before["branches"]}
    page.run()


STRANGE = [None, 5, 1.5, [1], [[]], {"a": 1}, True, float("nan"), 10**30, "\ud800"]
TAKES = {
    ("start", "link"): [],
    ("start", "kind"): [],
    ("start", "options"): [None],
    ("start", "scene"): [],
    ("add", "text"): [],
    ("add", "max_tokens"): [5],
    ("abort", "seq_id"): [],
    ("fork", "at"): [],
    ("fork", "options"): [],
    ("fork", "source"): [],
    ("check", "exercise_id"): [],
    ("check", "seed"): [None, 5, 10**30],
    ("score", "source"): [],
}
"""Verb and argument -> what of these it takes."""


@pytest.mark.parametrize(("verb", "name"), TAKES)
def test_a_value_of_any_type_is_refused_as_a_mistake_and_never_fails_the_page(verb, name):
    given = {
        "add": {"text": "x"}, "fork": {"at": -1, "options": {}},
        "check": {"exercise_id": "12.1", "source": "class MyPolicy: pass"},
    }.get(verb, {})  # fmt: skip
    for value in STRANGE:
        if value in TAKES[verb, name]:
            continue
        session = Session()
        session.start()
        with pytest.raises((NanoVLLMError, Wrong)):
            getattr(session, verb)(**{**given, name: value})
        session.step()


@pytest.mark.parametrize("source", STRANGE)
def test_a_source_of_any_type_is_no_right_answer(source):
    assert not Session().check("12.1", source)["is_right"]


def test_a_page_has_room_for_so_many(page):
    for _ in range(MAX_ARRIVALS - 2):
        page.ask("add", text="x", max_tokens=1)
    assert "enough for one page" in page.refusal("add", text="x")
    Scenario.from_link(page.ask("step")["link"])


def test_before_the_start_there_is_nothing_to_step():
    assert "start a scenario first" in Page().refusal("step")


def test_the_menu_names_what_there_is(page):
    menu = page.ask("menu")
    assert list(menu["scenes"]) == list(SCENES)
    assert [e["id"] for e in menu["exercises"]] == ["12.1", "12.2", "12.3"]
    assert all(hasattr(Session, verb) for verb in VERBS)


def test_what_is_downloaded_opens(page):
    page.ask("start", link="v=1&say=0,4,</script><b>bold</b>")
    page.run()
    assert "</script><b>" not in page.ask("page")
    assert len(decode(json.loads(page.ask("recording")))) == 4


def test_questions_are_asked_as_the_models_template_says():
    tokenizer = make_tokenizer()
    for text in (FIVE.scenario.arrivals[0].text, " a\n", "é"):
        system = {"role": "system", "content": SYSTEM}
        chat = tokenizer.chat_prompt([system, {"role": "user", "content": text}])
        assert tokenizer.encode(CHAT.format(SYSTEM, text)) == chat
