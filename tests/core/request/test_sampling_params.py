import json
from typing import Any

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import ConfigError

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", NAN),
        ("temperature", float("inf")),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 2),
        ("repetition_penalty", 0.0),
        ("presence_penalty", 2.1),
        ("frequency_penalty", -3),
        ("max_tokens", 0),
        ("max_tokens", None),
        ("seed", -1),
        ("seed", "x"),
        ("logprobs", -1),
        ("stop", ("",)),
        ("stop", (7,)),
        ("stop", None),
        ("stop", 7),
        ("stop_token_ids", (-1,)),
        ("stop_token_ids", ("a",)),
        ("stop_token_ids", 7),
    ],
)
def test_a_bad_option_is_an_error_that_names_it_and_its_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        SamplingParams(**{name: value})
    assert f"{name}={value!r}" in str(error.value) or f"{name}=({value!r},)" in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("name", ["top_p", "repetition_penalty"])
def test_an_open_limit_is_shown_as_open(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not in \(0"):
        SamplingParams(**{name: 0.0})


def test_one_stop_string_and_lists_become_tuples() -> None:
    params = SamplingParams(stop="end", stop_token_ids=[1, 2])  # type: ignore[arg-type]
    assert params.stop == ("end",)
    assert params.stop_token_ids == (1, 2)


def test_temperature_zero_is_greedy() -> None:
    assert SamplingParams(temperature=0).is_greedy
    assert not SamplingParams(temperature=0.01).is_greedy


@pytest.mark.parametrize("name", ["repetition_penalty", "presence_penalty", "frequency_penalty"])
def test_each_penalty_needs_the_history(name: str) -> None:
    assert not SamplingParams().needs_history
    assert SamplingParams(**{name: 0.5}).needs_history


def test_params_are_frozen_hashable_and_equal_by_value() -> None:
    params = SamplingParams(top_k=3)
    assert hash(params) == hash(SamplingParams(top_k=3))
    with pytest.raises(AttributeError):
        params.top_k = 4  # type: ignore[misc]


def test_to_dict_is_json_and_builds_the_same_params() -> None:
    params = SamplingParams(temperature=0.5, stop=("a", "b"), stop_token_ids=(3,), seed=7)
    assert SamplingParams(**json.loads(json.dumps(params.to_dict()))) == params
