"""`state_at(k)` is what `engine.state()` returned at step k, for random workloads."""

from random import Random

import pytest

from nanovllm_edu.core.events import EVENT_TYPES
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.introspect import recording as recording_module
from tests.introspect.workload import Guesses, make_engine, play


@pytest.mark.parametrize("seed", range(40))
def test_folded_states_equal_live_states(seed):
    played = play(seed)
    recording = played.recorder.recording
    assert len(recording) == len(played.states) > 10
    for k, live in enumerate(played.states):
        assert recording.state_at(k) == live, f"step {k}"


def test_states_may_be_asked_for_in_any_order():
    played = play(3, num_actions=300)
    recording = played.recorder.recording
    for k in [len(recording) - 1, 0, 70, 5, 130, 64, 63]:
        assert recording.state_at(k) == played.states[k]


def test_the_workloads_reach_every_event():
    seen = set()
    for seed in range(40):
        recording = play(seed).recorder.recording
        seen |= {type(event).__name__ for record in recording for event in record.events}
    assert seen == set(EVENT_TYPES)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("depth", [1, 3])
def test_planning_ahead_takes_effect_in_the_order_it_happened(seed, depth):
    # Guesses follow from values that are still in flight: with one row nothing is planned ahead.
    options = {"draft_proposer": None} if seed % 3 == 0 else {}
    played = play(seed, depth=depth, **options)
    recording = played.recorder.recording
    assert any(record.num_in_flight for record in recording)
    for k in range(len(recording) - depth):  # the last ones build on plans not yet recorded
        assert recording.state_at(k) == played.states[k], f"step {k}"


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("seed", range(10))
def test_a_failed_step_becomes_a_key_frame(seed, depth):
    played = play(seed, fail_at=(9, 17), depth=depth)
    recording = played.recorder.recording
    for k, live in enumerate(played.states[: len(recording) - depth]):
        assert recording.state_at(k) == live, f"step {k}"


def test_the_state_before_the_first_step_has_its_requests():
    engine = make_engine(Random(1))
    recorder = Recorder(engine)
    recorder.add_request([1, 2, 3])
    before = engine.state()
    recorder.step()
    assert recorder.recording.state_at(-1) == before


@pytest.mark.parametrize("index", [-2, 1, 99])
def test_an_index_out_of_range_names_the_range(index):
    recorder = Recorder(make_engine(Random(1)))
    recorder.add_request([1, 2, 3])
    recorder.step()
    with pytest.raises(RecordingError, match=r"\[-1, 1\)"):
        recorder.recording.state_at(index)


def test_a_step_behind_the_recorders_back_is_an_error_that_says_so():
    engine = make_engine(Random(1))
    recorder = Recorder(engine)
    engine.add_request([1, 2, 3, 4, 5])
    recorder.step()
    engine.step()
    engine.add_request([1, 2, 3, 9])
    engine.step()
    recorder.step()
    with pytest.raises(RecordingError, match="without the recorder"):
        recorder.recording.state_at(1)


@pytest.mark.parametrize("depth", [0, 2])
def test_a_recording_that_grew_is_the_one_that_was_made_at_once(depth):
    whole = play(2, fail_at=(9, 17), depth=depth).recorder.recording
    earlier = [Recording(whole.initial, whole.journal[:1], whole.engine)]
    for end in range(8, len(whole.journal) + 7, 7):
        parts = whole.initial, whole.journal[:end], whole.engine
        earlier.append(Recording(*parts, before=earlier[-1]))
        assert earlier[-1]._order == Recording(*parts)._order
    for k in range(len(whole)):
        assert earlier[-1].state_at(k) == whole.state_at(k), f"step {k}"
    for one in earlier:  # what came later is not theirs
        anew = Recording(one.initial, one.journal, one.engine)
        assert one.state_at(len(one) - 1) == anew.state_at(len(anew) - 1)


def test_a_gap_is_found_in_what_is_new():
    engine = make_engine(Random(5))
    recorder = Recorder(engine)
    recorder.add_request([1, 2, 3])
    recorder.step()
    before = recorder.recording
    for _ in range(2):
        engine.step()
    recorder.step()
    recording = recorder.recording
    assert recording.state_at(0) == before.state_at(0)
    with pytest.raises(RecordingError, match="without the recorder"):
        recording.state_at(len(recording) - 1)


def test_recording_keeps_the_engines_own_records():
    engine = make_engine(Random(2))
    recorder = Recorder(engine)
    engine.add_request([1, 2, 3])
    record = recorder.step()
    assert recorder.recording[0] is record


@pytest.mark.parametrize("seed", range(20))
def test_a_records_tables_are_those_that_its_step_used(seed):
    """Guesses that came to nothing make a table shorter, and then as long again."""
    for record, state in zip(*_records_and_states(seed), strict=True):
        for seq_id, table in state.block_tables.items():
            used = record.block_tables[seq_id]
            assert used[: len(table)] == table
            assert len(set(used)) == len(used)


def _records_and_states(seed):
    played = play(seed, draft_proposer=Guesses(seed))
    return played.recorder.recording.records, played.states


@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"depth": 2, "fail_at": (9, 17)}])
def test_key_frames_are_right_whenever_they_were_kept(options, monkeypatch):
    """A recording that grows hands them on; at its end, plans are missing that came later."""
    monkeypatch.setattr(recording_module, "KEY_FRAME_INTERVAL", 1)
    for seed in range(4):
        whole = play(seed, **options).recorder.recording
        growing = None
        for end in range(1, len(whole.journal) + 1):
            parts = whole.journal[:end], whole.engine, whole.pieces
            growing = Recording(whole.initial, *parts, growing)
            growing.fold_to(len(growing) - 1)
        assert growing is not None and growing._frames
        for k in range(len(whole) - 1):
            assert growing.state_at(k) == whole.begin(len(whole) - 1).state_at(k), f"step {k}"
