"""Scenes: whatever runs the steps, each caption comes true, in order."""

import re

import pytest

from nanovllm_edu.live.scenes import SCENES
from nanovllm_edu.live.session import Session

CAPTIONED = [name for name, scene in SCENES.items() if scene.captions]


@pytest.mark.parametrize("kind", ["checksum", "model"])
@pytest.mark.parametrize("name", CAPTIONED)
def test_each_caption_says_what_the_engine_did(name, kind):
    scene, session = SCENES[name], Session()
    update, told = session.start(scene.scenario.to_link(), kind, scene=name), []
    while update["has_work"]:
        update = session.step()
        if update["caption"] is None:
            continue
        told.append(update["caption"])
        record = session._driven.main.record(update["last"])
        assert record is not None
        sentences = [event.why for event in (*record.events, record.blocked) if event]
        assert told[-1]["why"] in [sentence.removesuffix(".") for sentence in sentences]
        check_words(told[-1]["text"], record, session._driven.main.recorder.engine)
    assert [caption["number"] for caption in told] == list(range(1, len(scene.captions) + 1))
    assert update["captions_left"] == 0


def check_words(text, record, engine):
    """What a caption claims beyond the engine's own sentence."""
    state = engine.state()
    if "used by two" in text or "several users" in text:
        assert max(block.ref_count for block in state.blocks) >= (2 if "two" in text else 3)
    if "Nothing of it is known" in text:
        assert record.num_tokens == 44 and not state.waiting
    if "Four stories begin" in text:
        assert len(record.running) == 4
    if "The pool is full" in text:
        assert state.num_blocks("free") + state.num_blocks("cached") <= 5  # what was given back


def test_nobody_waits_while_the_long_prompt_is_computed():
    """The scene says: no gap in their rows."""
    session = Session()
    update = session.start(SCENES["long"].scenario.to_link(), scene="long")
    while update["has_work"]:
        update = session.step()
    records = session._driven.main.recorder.recording.records
    for seq_id in range(3):
        steps = [r.step_id for r in records if seq_id in r.new_tokens]
        assert steps == list(range(steps[0], steps[-1] + 1))
    assert sum(span.seq_id == 3 and span.num_tokens > 1 for r in records for span in r.spans) > 3


def test_a_preempted_story_goes_on_with_the_same_words():
    """The scene says: as if nothing had happened."""
    texts = []
    for num_blocks in (20, 64):
        session = Session()
        update = session.start(
            SCENES["memory"].scenario.to_link(), "model", options={"num_blocks": num_blocks}
        )
        while update["has_work"]:
            update = session.step()
        recording = session._driven.main.recorder.recording
        fold = recording.fold_to(len(recording) - 1)
        texts.append(dict(fold.history.token_ids))
    assert texts[0] == texts[1]


def test_five_people_are_too_many_for_the_pool():
    session = Session()
    update = session.start(SCENES["five"].scenario.to_link(), "model")
    reached = set()
    while update["has_work"]:
        update = session.step()
        reached |= {name for names in update["reached"].values() for name in names}
    assert reached >= {"preemption", "eviction", "prefix hit", "sequence finishes"}


def test_captions_are_short_enough_to_be_read():
    """About a minute a scene: 200 words a minute, and time to look."""
    for name in CAPTIONED:
        words = sum(len(re.findall(r"\w+", c.text)) for c in SCENES[name].captions)
        assert 50 <= words <= 200, (name, words)
