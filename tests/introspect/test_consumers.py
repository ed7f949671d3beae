"""Every kind of event has a meaning and a face everywhere: a new one without them fails here.

The workloads reach each kind (`test_fold.py`); the browser shows what `encode_view` says
(`tests/browser/test_exported_page.py` walks them once more).
"""

import json
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from nanovllm_edu.cli.step_view import STYLES, StepView
from nanovllm_edu.core.events import EVENT_TYPES, Event
from nanovllm_edu.introspect.codec import encode
from nanovllm_edu.introspect.decoder import decode
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.frame import EVENT_SHAPES
from nanovllm_edu.introspect.history import History
from nanovllm_edu.introspect.labels import LABELS
from nanovllm_edu.introspect.view import View, encode_view
from nanovllm_edu.viewer.source import viewer_script
from tests.browser.recordings import Letters
from tests.introspect.workload import play

SEEDS = range(12)


class Letter(Letters):
    """As the command line calls a tokenizer."""

    def decode(self, token_ids, skip_special_tokens=True):
        return super().decode(token_ids)


REPLAY = """
const replay = new Replay(JSON.parse(require("fs").readFileSync(0, "utf8")));
const at = (_, k) => ({ state: replay.stateDict(k), events: replay.events(k) });
const steps = replay.steps.map(at);
process.stdout.write(JSON.stringify(steps));
"""


@pytest.fixture(scope="module")
def recordings():
    found = [play(seed).recorder.recording for seed in SEEDS]
    kinds = {type(event) for recording in found for record in recording for event in record.events}
    assert kinds == set(EVENT_TYPES.values())
    return found


def test_every_event_survives_a_file(recordings):
    assert EVENT_SHAPES.keys() == EVENT_TYPES.keys()
    for recording in recordings:
        assert decode(json.loads(json.dumps(encode(recording)))) == recording


def test_every_event_has_a_name_and_a_style(recordings):
    assert set(LABELS) == set(EVENT_TYPES.values())
    assert set(STYLES) == set(LABELS.values())
    for recording in recordings:
        view = StepView(Letter(), shows_every_event=True)
        view._token_ids |= {
            i: list(r.token_ids) for i, r in recording.initial.history.requests.items()
        }
        for k, record in enumerate(recording):
            reasons = [sentence for *_, sentence in view._reasons(record)]
            assert reasons[: len(record.events)] == [event.why for event in record.events]
            view.panel(record, recording.state_at(k))


def test_an_event_that_nobody_knows_is_an_error():
    @dataclass(frozen=True)
    class Unknown(Event):
        pass

    with pytest.raises(AssertionError, match="does not know"):
        Fold(4, 4, History()).apply([Unknown(0)])


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"depth": 2, "fail_at": (9, 17)}])
def test_the_viewer_comes_to_the_same_states_and_says_every_event(options, tmp_path):
    script = viewer_script().replace("export default", "const widget =").replace("export ", "")
    path = tmp_path / "replay.cjs"
    path.write_text(script + REPLAY)
    for seed in SEEDS[:6]:
        recording = play(seed, **options).recorder.recording
        done = subprocess.run(
            ["node", str(path)], input=json.dumps(encode_view(recording)),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        steps = json.loads(done.stdout)
        assert len(steps) == len(recording)
        for k, (record, step) in enumerate(zip(recording, steps, strict=True)):
            events = [(event["kind"], event["why"]) for event in step["events"]]
            assert events == [(type(event).__name__, event.why) for event in record.events]
            if k < len(recording) - 1:  # after the last step it shows later requests too
                assert step["state"] == json.loads(json.dumps(recording.state_at(k).to_dict()))


@pytest.mark.parametrize("seed", range(6))
def test_a_view_that_grows_is_the_view_of_the_whole(seed):
    played = play(seed)
    whole = played.recorder.recording
    view = View(whole.begin(-1))
    for k in range(len(whole)):
        view.extend(whole.begin(k))
    view.extend(whole)
    assert view.document() == encode_view(whole)


def test_a_rejected_guess_and_an_error_are_told(recordings):
    drafts = [
        draft
        for recording in recordings
        for entry in View(recording).entries
        for draft in entry.get("drafts", {}).values()
    ]
    assert any(accepted is not None and accepted < len(drafted) for drafted, accepted in drafts)
    assert any(accepted == len(drafted) > 1 for drafted, accepted in drafts)
