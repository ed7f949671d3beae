import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

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
        ("top_k", -2),
        ("top_k", 1.5),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 2),
        ("repetition_penalty", 0.0),
        ("presence_penalty", 2.1),
        ("frequency_penalty", -3),
        ("max_tokens", 0),
        ("seed", -1),
        ("seed", "x"),
        ("logprobs", -1),
        ("stop", ("",)),
        ("stop", (7,)),
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


# ------------------------------------------------------------- what users type, after vLLM's names


def test_vllms_spellings_mean_what_they_mean_there() -> None:
    params = SamplingParams(
        top_k=-1, max_tokens=None, stop=None, stop_token_ids=None, n=1, logit_bias=None,
        bad_words=[], allowed_token_ids=None, prompt_logprobs=None, min_tokens=0,
        include_stop_str_in_output=False,
    )  # fmt: skip
    assert params == SamplingParams(max_tokens=None)
    assert params.top_k == 0 and params.stop == () and params.stop_token_ids == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt_logprobs", 1),
        ("prompt_logprobs", 0),
    ],
)
def test_what_is_not_supported_says_so_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}=.* is not supported yet; .*[.]$"):
        SamplingParams(**{name: value})


EDITS = {
    "min_tokens": 3,
    "logit_bias": {7: -1.5, 3: 2},
    "bad_words_token_ids": [[1, 2], [3]],
    "allowed_token_ids": [5, 1, 5],
    "presence_penalty": 0.5,
}


@pytest.mark.parametrize("name", EDITS)
def test_what_edits_single_logits_says_so(name: str) -> None:
    params = SamplingParams(**{name: EDITS[name]})
    assert params.edits_logits
    assert params.needs_history == (name in ("bad_words_token_ids", "presence_penalty"))
    assert not SamplingParams(temperature=0.5, top_k=3, stop=("x",), logprobs=1).edits_logits
    assert not SamplingParams(bad_words_token_ids=[[1]]).needs_history


def test_edits_are_kept_hashable_and_come_back_from_json() -> None:
    params = SamplingParams(**EDITS, bad_words="no")
    assert params.logit_bias == params.biases == ((3, 2), (7, -1.5))
    assert params.bad_words_token_ids == ((1, 2), (3,))
    assert params.allowed_token_ids == (5, 1)
    assert params.bad_words == ("no",)
    assert SamplingParams(**json.loads(json.dumps(params.to_dict()))) == params
    assert hash(params) == hash(SamplingParams(**EDITS, bad_words=["no"]))
    assert SamplingParams(logit_bias={}) == SamplingParams(logit_bias=None) == SamplingParams()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("logit_bias", {3: 101}, r"logit_bias\[3\]=101 is not in \[-100"),
        ("logit_bias", {3: "much"}, r"logit_bias\[3\]='much'"),
        ("logit_bias", {-1: 1.0}, "must hold integers >= 0"),
        ("logit_bias", {"3": 1.0}, "must hold integers >= 0"),
        ("logit_bias", [3, 4], "is no dictionary"),
        ("logit_bias", 3, "is not a list"),
        ("allowed_token_ids", [], "allows nothing"),
        ("allowed_token_ids", [1.5], "must hold integers >= 0"),
        ("bad_words", [""], "must hold words"),
        ("bad_words", [3], "must hold words"),
        ("bad_words_token_ids", [[]], "holds an empty run"),
        ("bad_words_token_ids", [3], "is not a list"),
    ],
)
def test_an_edit_that_is_none_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SamplingParams(**{name: value})


@pytest.mark.parametrize("make", [np.int32, np.int64, np.uint8, torch.tensor])
def test_integers_of_numpy_and_torch_are_integers(make: Any) -> None:
    options = {name: make(3) for name in ("top_k", "seed", "max_tokens", "min_tokens", "logprobs")}
    params = SamplingParams(**options, stop_token_ids=[make(5)])
    assert params == SamplingParams(
        top_k=3, seed=3, max_tokens=3, min_tokens=3, logprobs=3, stop_token_ids=(5,)
    )
    assert {type(getattr(params, name)) for name in options} == {int}
    assert SamplingParams(stop_token_ids=make([5]) if make is torch.tensor else [5])


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    params = SamplingParams(temperature=np.float32(0.5), top_p=torch.tensor(0.5))
    assert (params.temperature, params.top_p) == (0.5, 0.5)
    assert {type(params.temperature), type(params.top_p)} == {float}
    json.dumps(params.to_dict())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", 2**31),
        ("top_k", 2**63),
        ("top_k", 2**70),
        ("top_k", np.True_),
        ("seed", 2**64),
        ("max_tokens", 2**31),
        ("logprobs", 2**40),
        ("stop_token_ids", [2**31]),
        ("temperature", 1e39),
        ("repetition_penalty", 1e39),
        ("repetition_penalty", 1e-50),
        ("top_p", 1e-50),
        ("temperature", 10**400),
    ],
)
def test_cases_9_and_14_a_value_fits_what_the_device_holds_it_in(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}="):
        SamplingParams(**{name: value})


@pytest.mark.parametrize("stop", ["\ud800", ["fine", "\udfff broken"]])
def test_case_14_a_stop_string_that_no_text_can_hold_is_refused(stop: Any) -> None:
    with pytest.raises(ConfigError, match="half characters"):
        SamplingParams(stop=stop)


@pytest.mark.parametrize("stop", ["a" * 1001, ["ab"] * 65])
def test_case_21_stop_strings_have_a_limit(stop: Any) -> None:
    with pytest.raises(ConfigError, match="at most 64 strings of at most 1000 characters"):
        SamplingParams(stop=stop)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ignore_eos", "no"),
        ("ignore_eos", 1),
        ("skip_special_tokens", None),
        ("include_stop_str_in_output", 0),
        ("stop_token_ids", b"ab"),
        ("stop_token_ids", [True]),
        ("stop_token_ids", [np.True_]),
        ("stop_token_ids", {3: 4}),
        ("stop_token_ids", "3"),
    ],
)
def test_case_20_an_option_of_the_wrong_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}="):
        SamplingParams(**{name: value})


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, ["x" * 10**6] * 99, [1.5] * 10**6, 10**10_000, {"a" * 10**6: 1}],
    ids=["text", "texts", "list", "integer", "dict"],
)
@pytest.mark.parametrize("name", ["temperature", "top_k", "stop_token_ids", "ignore_eos", "n"])
def test_case_20_a_message_does_not_repeat_a_million_characters(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        SamplingParams(**{name: value})
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("temp", "temperature"),
        ("max_new_tokens", "max_tokens"),
        ("max_token", "max_tokens"),
        ("stop_sequences", "stop"),
        ("topk", "top_k"),
        ("include_stop", "include_stop_str_in_output"),
    ],
)
def test_a_misspelt_option_names_the_right_one(wrong: str, right: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown option {wrong}=1; did you mean '{right}'"):
        SamplingParams(**{wrong: 1})


def test_an_option_like_no_other_lists_them_all() -> None:
    with pytest.raises(ConfigError, match="known: temperature, top_k"):
        SamplingParams(qqq=1)  # type: ignore[call-arg]


def test_more_tokens_at_least_than_at_most_is_refused() -> None:
    with pytest.raises(ConfigError, match="min_tokens=5 exceeds max_tokens=4"):
        SamplingParams(min_tokens=5, max_tokens=4)
    assert SamplingParams(min_tokens=5, max_tokens=None).min_tokens == 5


def test_params_can_be_copied() -> None:
    params = SamplingParams(top_k=3, stop="a")
    assert copy.deepcopy(params) == copy.copy(params) == replace(params) == params
