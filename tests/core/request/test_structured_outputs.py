from typing import Any

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.structured_outputs import MAX_LENGTH, StructuredOutputsParams
from nanovllm_edu.errors import ConfigError


def test_a_schema_is_kept_as_text_however_it_was_written() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    one = StructuredOutputsParams(json=schema)
    other = StructuredOutputsParams(
        json='{"type":"object",\n"properties":{"a":{"type":"integer"}}}'
    )
    assert one == other and hash(one) == hash(other)
    assert one.to_dict() == {"json": one.json}


def test_sampling_params_take_it_as_a_dictionary_too_and_it_survives_json() -> None:
    params = SamplingParams(structured_outputs={"choice": ["a", "b"]})
    assert params.structured_outputs == StructuredOutputsParams(choice=("a", "b"))
    assert params.edits_logits
    values = params.to_dict()
    assert values["structured_outputs"] == {"choice": ["a", "b"]}
    assert SamplingParams(**values) == params
    assert not SamplingParams(structured_outputs=None).edits_logits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "gives nothing; give exactly one of json, regex"),
        ({"json_object": False}, "gives nothing"),
        ({"regex": "a", "choice": ["b"]}, "gives regex, choice; give exactly one"),
        ({"regx": "a"}, "did you mean 'regex'"),
        ({"regex": ""}, "is no text of 1 to 200,000 characters"),
        ({"regex": 7}, "regex=7 is no text"),
        ({"regex": "\ud800"}, "half of a character"),
        ({"regex": "a" * (MAX_LENGTH + 1)}, "is no text of 1 to"),
        ({"json": "{"}, "is no JSON"),
        ({"json": {"minimum": 10**30}}, "10{30} is beyond 64 bits; leave it out"),
        ({"json": [1]}, "is no schema"),
        ({"json": {"a": object()}}, "is no JSON"),
        ({"json": "[" * 100_000}, "is no JSON"),
        ({"choice": "yes"}, "is no list of texts"),
        ({"choice": []}, "at least one text"),
        ({"choice": ["a", 3]}, "choice=3 is no text"),
        ({"json_object": 1}, "json_object=1 is not True"),
        ({"grammar": None, "json": None}, "gives nothing"),
    ],
)
def test_what_is_no_form_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StructuredOutputsParams(**options)
    with pytest.raises(ConfigError, match=message):
        SamplingParams(structured_outputs=options)


@pytest.mark.parametrize("value", ["[0-9]+", 3, True, ["a"]])
def test_only_such_an_object_or_a_dictionary_is_taken(value: Any) -> None:
    with pytest.raises(ConfigError, match="is no StructuredOutputsParams; write"):
        SamplingParams(structured_outputs=value)
