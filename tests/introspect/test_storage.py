"""Load(save(recording)) is the recording; anything else is a clear error."""

import gzip
import json
from random import Random

import pytest

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect import Recorder, load, save
from nanovllm_edu.introspect.codec import encode
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.introspect.workload import play


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
