import json
from dataclasses import replace
from pathlib import Path

import pytest

from nanovllm_edu.errors import CalibrationError
from nanovllm_edu.virtual.calibration import SHIPPED, Seconds, load, save, shipped
from nanovllm_edu.virtual.work import NAMES, Work

from .made import calibration


def test_seconds_name_what_work_names():
    assert Seconds._fields == NAMES


def test_a_steps_time_is_the_sum_of_its_works():
    assert Seconds(1, 0.5, 0.25).of(Work(1, 4, 8, 1, 3, 3, 3)) == 1 + 2 + 2


def test_a_file_is_read_back_equal(tmp_path: Path):
    irregular = replace(calibration(), spread=(-0.01, 0.0, 0.01))
    assert load(save(irregular, tmp_path / "c.json")) == irregular


def test_a_file_before_the_third_schema_says_nothing_of_what_bends_the_line(tmp_path: Path):
    values = json.loads(calibration().to_json()) | {"schema_version": 2}
    for side in ("device", "host"):
        del values[side]["passes"], values[side]["large_steps"]
    (tmp_path / "c.json").write_text(json.dumps(values))
    straight = load(tmp_path / "c.json")
    assert (straight.device.passes, straight.device.large_steps) == (0, 0)
    assert straight.device.of(Work(1, 2, 3, 4, 5, 6, 7)) == calibration().device.of(
        Work(1, 2, 3, 4, 5, 6, 7)
    )


def test_a_file_of_the_first_schema_says_nothing_of_how_much_steps_differ(tmp_path: Path):
    values = json.loads(calibration().to_json()) | {"schema_version": 1}
    del values["spread"]
    (tmp_path / "c.json").write_text(json.dumps(values))
    assert load(tmp_path / "c.json") == calibration()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "another"}, "another"),
        ({"schema_version": 4}, "4"),
        ({"device": {"steps": -1.0}}, "nothing takes less than no time"),
        ({"host": {"steps": float("nan")}}, "nothing takes less than no time"),
        ({"host": {"sleep": 1.0}}, "is no calibration"),
        ({"device": None}, "is no calibration"),
        ({"surprise": 1}, "is no calibration"),
        ({"device": {"steps": 10**400}}, "is no calibration"),
        ({"spread": [0.1, float("nan")]}, r"spread is .* not finite"),
        ({"spread": 5}, "is no calibration"),
        ({"spread": ["wide"]}, "is no calibration"),
        ({"step_error": "small"}, "is no calibration"),
        ({"total_error": None}, "is no calibration"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(tmp_path: Path, change: dict, said: str):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(json.loads(calibration().to_json()) | change))
    with pytest.raises(CalibrationError, match=said):
        load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, "no json"])
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(CalibrationError, match="nanovllm-edu calibrate"):
        load(path)


def test_another_model_or_device_is_refused_by_name():
    calibration().require("a model", "a device")
    with pytest.raises(CalibrationError, match="another model, 'a model', and this is 'b'"):
        calibration().require("b", "a device")
    with pytest.raises(CalibrationError, match="another device, 'a device', and this is 'c'"):
        calibration().require("a model", "c")


def test_what_is_shipped_says_what_it_is_of():
    names = [path.stem for path in SHIPPED.glob("*.json")]
    assert {"cpu", "h200"} <= set(names)
    for name in names:
        found = shipped(name)
        assert found.model and found.device_name and found.date and found.source
        assert found.device.steps > 0
    for name in ("abacus", [], 5):
        with pytest.raises(CalibrationError, match=r"no calibration .* is shipped"):
            shipped(name)
