"""Load(save(recording)) is the recording; anything else is a clear error."""

import gzip
import json
import re
from pathlib import Path
from random import Random

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect import Recorder, load, save
from nanovllm_edu.introspect.codec import digest, encode
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.introspect.workload import play

DATA = Path(__file__).with_name("data")


@pytest.mark.parametrize("seed", range(25))
def test_what_is_loaded_equals_what_was_saved(seed, tmp_path):
    recording = play(seed).recorder.recording
    loaded = load(save(recording, tmp_path / "x.json"))
    assert loaded.records == recording.records
    assert loaded == recording
    for k in (-1, 0, len(recording) // 2, len(recording) - 1):
        assert loaded.state_at(k) == recording.state_at(k)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "options",
    [{"depth": 2}, {"fail_at": (9, 17)}, {"depth": 2, "fail_at": (9, 17)}, {"num_actions": 700}],
)
def test_planning_ahead_failures_and_key_frames_survive(seed, options, tmp_path):
    recording = play(seed, **options).recorder.recording
    assert load(save(recording, tmp_path / "x.json.gz")) == recording


def test_timings_survive(tmp_path):
    recording = play(1).recorder.recording
    loaded = load(save(recording, tmp_path / "x.json"))
    for before, after in zip(recording, loaded, strict=True):
        assert after.timings == pytest.approx(before.timings, abs=1e-7)


def test_equal_recordings_give_equal_files(tmp_path):
    recording = play(1).recorder.recording
    one, two = (save(recording, tmp_path / name).read_bytes() for name in ("1.gz", "2.gz"))
    assert one == two
    assert one[4:8] == bytes(4)  # gzip would keep the time of day here


def test_a_thousand_steps_of_64_sequences_fit_3_megabytes(tmp_path):
    rng = Random(0)
    engine = LLMEngine(ChecksumRunner(2048, 16), EngineConfig(max_num_seqs=64))
    engine.runner.launch = _random_tokens(rng)  # the checksum of long sequences takes long
    recorder = Recorder(engine)
    for _ in range(1000):
        while len(engine.scheduler.running) + len(engine.scheduler.waiting) < 66:
            prompt = list(range(rng.randint(0, 64))) + rng.choices(range(1000), k=60)
            recorder.add_request(prompt, SamplingParams(max_tokens=rng.randint(50, 400)))
        recorder.step()
    path = save(recorder.recording, tmp_path / "x.json.gz")
    assert path.stat().st_size <= 3e6
    assert load(path) == recorder.recording


def _random_tokens(rng):
    from nanovllm_edu.core.plan import StepOutput
    from nanovllm_edu.runners.checksum import ReadyTicket

    return lambda plan: ReadyTicket(
        StepOutput({s.seq_id: (rng.randrange(50_000),) for s in plan.spans.sampled})
    )


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_an_error_that_names_it(name, fraction, tmp_path):
    path = save(play(2).recorder.recording, tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(RecordingError, match=name):
        load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "not a recording"),
        ('{"format": "trace"}', "not a recording"),
        ('{"format": "nanovllm-edu recording", "schema_version": 99}', "schema_version=99"),
        ("\x00\x01", "not a whole JSON file"),
    ],
)
def test_a_foreign_file_is_an_error_that_says_so(content, message, tmp_path):
    (tmp_path / "x").write_text(content)
    with pytest.raises(RecordingError, match=message):
        load(tmp_path / "x")


@pytest.mark.parametrize("key", ["engine", "initial", "journal", "frames", "phases"])
def test_a_missing_part_is_an_error(key, tmp_path):
    document = encode(play(2).recorder.recording)
    del document[key]
    (tmp_path / "x").write_text(json.dumps(document))
    with pytest.raises(RecordingError, match="damaged"):
        load(tmp_path / "x")


def test_a_key_frame_that_contradicts_the_steps_is_an_error(tmp_path):
    document = encode(play(3, num_actions=700).recorder.recording)
    document["frames"]["255"]["eviction_order"].append(0)
    (tmp_path / "x.gz").write_bytes(gzip.compress(json.dumps(document).encode()))
    with pytest.raises(RecordingError, match="key frame after step 255"):
        load(tmp_path / "x.gz")


# --------------------------------------------------------------- a file may come from anywhere


def stored(document, path):
    path.write_text(json.dumps(document))
    return path


def damaged(change, tmp_path, seed=2):
    """A file of a recording of which something was changed by hand, its digest included."""
    document = encode(play(seed).recorder.recording)
    change(document)
    return stored(document | {"digest": digest(document)}, tmp_path / "x.json")


def first_step(document):
    return next(entry for entry in document["journal"] if "step" in entry)


def first_request(document):
    return next(entry["add"] for entry in document["journal"] if "add" in entry)


def test_a_file_of_version_1_is_refused_by_name_with_what_to_do():
    with pytest.raises(RecordingError, match=r"version_1.json: schema_version=1.*record again"):
        load(DATA / "version_1.json")


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_deep_nesting_is_an_error(bracket, tmp_path):
    (tmp_path / "x.json").write_text(bracket * 200_000)
    with pytest.raises(RecordingError, match=r"x\.json.*nested too deep"):
        load(tmp_path / "x.json")


@pytest.mark.parametrize("name", ["num_blocks", "block_size"])
@pytest.mark.parametrize("value", [10**12, 0, -1, "8", 4.0, True, None])
def test_a_pool_that_cannot_be_is_an_error(name, value, tmp_path):
    path = damaged(lambda document: document["engine"].update({name: value}), tmp_path)
    with pytest.raises(RecordingError, match=name):
        load(path)


def test_a_file_that_unpacks_to_a_gigabyte_is_an_error(tmp_path):
    path, megabyte = tmp_path / "bomb.json.gz", bytes(2**20)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(1024):
            file.write(megabyte)
    with pytest.raises(RecordingError, match=r"bomb.json.gz is longer than \d+ bytes.*max_bytes"):
        load(path)


def test_how_long_a_file_may_be_can_be_said(tmp_path):
    recording = play(2).recorder.recording
    path = save(recording, tmp_path / "x.json")
    with pytest.raises(RecordingError, match="longer than 1000 bytes"):
        load(path, max_bytes=1000)
    assert load(path, max_bytes=path.stat().st_size) == recording


def test_what_is_no_file_is_an_error(tmp_path):
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(RecordingError, match="cannot be read"):
            load(path)


def test_a_changed_token_is_an_error_by_the_hash_of_its_block(tmp_path):
    recording = hashed_recording()

    def change(document):
        first_request(document)["token_ids"][1] += 1

    document = encode(recording)
    change(document)
    path = stored(document | {"digest": digest(document)}, tmp_path / "x.json")
    with pytest.raises(RecordingError, match="block 0 of seq 0 has the hash"):
        load(path)


def test_a_changed_token_that_no_hash_covers_is_an_error_too(tmp_path):
    document = encode(hashed_recording())
    entry = [entry for entry in document["journal"] if "step" in entry][-1]
    entry["tokens"] = [token + 1 for token in entry["tokens"]]
    with pytest.raises(RecordingError, match="digest"):
        load(stored(document, tmp_path / "x.json"))


def hashed_recording():
    recorder = Recorder(LLMEngine(ChecksumRunner(16, 4)))
    recorder.add_request([1, 2, 3, 4, 5, 6], SamplingParams(max_tokens=9))
    for _ in recorder.run(0):
        pass
    return recorder.recording


@pytest.mark.parametrize(
    "change",
    [
        {"step": [1]}, {"step": -1}, {"step": "0"}, {"step": True}, {"spans": [0]},
        {"spans": [99, 1]},
        {"spans": [[0, 1]]}, {"spans": [0, 10**12]}, {"tokens": [[]]}, {"tokens": [2**70]},
        {"tokens": [-1]}, {"tokens": [{}]}, {"tokens": []}, {"drafts": {"x": 1}}, {"plan": [[99]]},
        {"plan": [[-1, 0]]}, {"plan": [[]]}, {"plan": [[[0], 0]]},
        {"commit": [[3, 0, [0], [10**12], ["0"]]]},
        {"commit": [[9, 0, 1, 2, 3]]}, {"left": [-1]}, {"left": 0}, {"resampled": [99]},
        {"copies": [[0, 0, 0]]},
        {"blocked": [0]}, {"in_flight": -1}, {"in_flight": 10**12}, {"logprobs": {"0": [[1]]}},
        {"times": []}, {"times": ["1", 1, 1, 1, 1]}, {"at": None}, {"order": [[0]]},
        {"order": [[], [[0, -1]]]},
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_is_an_error(change, tmp_path):
    path = damaged(lambda document: first_step(document).update(change), tmp_path)
    with pytest.raises(RecordingError, match=r"x\.json"):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"seq_id": "0"}, {"seq_id": [0]}, {"token_ids": [0.5]}, {"token_ids": "abc"},
        {"token_ids": [2**64]},
        {"num_prompt_tokens": -1}, {"params": {"temperature": "hot"}}, {"params": {"colour": 1}},
        {"params": []}, {"seed": None},
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_is_an_error(change, tmp_path):
    path = damaged(lambda document: first_request(document).update(change), tmp_path)
    with pytest.raises(RecordingError, match=r"x\.json"):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"journal": {}}, {"journal": [{}]}, {"journal": [[]]}, {"journal": [None]},
        {"pieces": {"x": "y"}},
        {"pieces": []}, {"engine": []}, {"phases": [1]}, {"frames": {"0": 3}}, {"digest": 0},
        {"initial": []},
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_is_an_error(change, tmp_path):
    document = encode(play(2).recorder.recording) | change
    with pytest.raises(RecordingError, match=r"x\.json"):
        load(stored(document, tmp_path / "x.json"))


@pytest.mark.parametrize(
    "frame",
    [
        {"planned": 10**12}, {"waiting": [99]}, {"running": [99]}, {"blocks": [[10**9, 1]]},
        {"blocks": [[0, 1, None, 99, 0]]}, {"sequences": [[0, 1, 1, 1, 1, None]]},
        {"eviction_order": [-1]},
    ],
)  # fmt: skip
def test_a_key_frame_that_cannot_be_is_an_error(frame, tmp_path):
    path = damaged(lambda document: document["initial"].update(frame), tmp_path)
    with pytest.raises(RecordingError, match=r"x\.json"):
        load(path)


@pytest.mark.parametrize("seed", range(8))
def test_any_changed_number_is_an_error_or_changes_nothing(seed, tmp_path):
    """One number anywhere in a document becomes another one: a typed error, and soon."""
    document, rng = encode(play(seed, num_actions=40).recorder.recording), Random(seed)
    text = json.dumps(document)
    places = [match.span() for match in re.finditer(r"(?<![\w.\"-])\d+(?![\w.\"])", text)]
    for begin, end in rng.sample(places, 60):
        changed = text[:begin] + str(rng.choice([0, 1, 7, 10**12])) + text[end:]
        if changed == text:
            continue
        (tmp_path / "x.json").write_text(changed)
        with pytest.raises(RecordingError):
            load(tmp_path / "x.json")
