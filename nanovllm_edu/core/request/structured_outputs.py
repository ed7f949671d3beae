"""`StructuredOutputsParams`: the form that an answer must have, as vLLM writes it.

    json           a JSON schema, as a dictionary or as text
    json_object    any JSON object
    regex          a regular expression that the whole answer matches
    choice         one of these texts
    grammar        a grammar in Lark's or GBNF's notation

Plain data, one of them at a time. Whether a schema or an expression can be met at all is found when
a request comes in. Read next: `grammar.py`.
"""

import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, cast

from nanovllm_edu.errors import ConfigError, shown, unknown_option

MAX_LENGTH = 200_000
"""Characters of a schema, an expression or a grammar."""


@dataclass(frozen=True, slots=True)
class StructuredOutputsParams:
    """The form of an answer; exactly one of these is given.

    Attributes:
        json: A JSON schema, as a dictionary or as text; kept as text.
        regex: The whole answer matches this regular expression.
        choice: The answer is one of these texts; kept as a tuple.
        grammar: The answer follows this grammar, in Lark's or GBNF's notation.
        json_object: True: the answer is some JSON object.

    Raises:
        ConfigError: None or several are given, one is not known, or a value is not of its form.
    """

    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | tuple[str, ...] | None = None
    grammar: str | None = None
    json_object: bool | None = None

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Refuses a misspelt option, which `__init__` would call a TypeError."""
        known = cls.__dataclass_fields__
        for name in options:
            if name not in known:
                raise unknown_option(name, options[name], known)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        if self.json_object is False:
            object.__setattr__(self, "json_object", None)
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if len(given) != 1:
            names = ", ".join(f.name for f in fields(self))
            raise ConfigError(
                f"structured_outputs gives {', '.join(given) or 'nothing'}; give exactly one of "
                f"{names}."
            )
        name = given[0]
        object.__setattr__(self, name, _CHECKS[name](name, getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """The one that is given, JSON-ready."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.choice is not None:
            values["choice"] = list(self.choice)
        return {name: value for name, value in values.items() if value is not None}


def structured_outputs(name: str, value: Any) -> StructuredOutputsParams | None:
    """The check of `SamplingParams`: such an object, or a dictionary of its fields."""
    if value is None or isinstance(value, StructuredOutputsParams):
        return value
    if isinstance(value, Mapping):
        return StructuredOutputsParams(**cast(Mapping[str, Any], value))
    raise ConfigError(
        f"{name}={shown(value)} is no StructuredOutputsParams; write "
        "StructuredOutputsParams(regex='[0-9]+')."
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_LENGTH:
        raise ConfigError(
            f"{name}={shown(value)} is no text of 1 to {MAX_LENGTH:,} characters; give one."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{name}={shown(value)} holds half of a character.") from None
    return value


def _schema(name: str, value: Any) -> str:
    """As text, without the line breaks and spaces of its author."""
    try:
        text = json_module.dumps(json_module.loads(value) if isinstance(value, str) else value)
        schema: object = json_module.loads(text, parse_int=_of_64_bits)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{name}={shown(value)} is no JSON schema: {error!s:.200}.") from None
    if not isinstance(schema, dict):
        raise ConfigError(f"{name}={shown(value)} is no schema; write {{'type': 'integer'}}.")
    return _text(name, text)


def _of_64_bits(digits: str) -> int:
    """The library's numbers end there, and it would not say so."""
    value = int(digits)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{digits} is beyond 64 bits; leave it out or take a smaller one")
    return value


def _choice(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{name}={shown(value)} is no list of texts; write ['yes', 'no'].")
    value = cast(list[Any], value)
    texts = tuple(_text(name, text) for text in value)
    if not texts or sum(map(len, texts)) > MAX_LENGTH:
        raise ConfigError(
            f"{name}={shown(value)} must hold at least one text, and at most {MAX_LENGTH:,} "
            "characters."
        )
    return texts


def _flag(name: str, value: Any) -> bool:
    if value is not True:
        raise ConfigError(f"{name}={shown(value)} is not True or None.")
    return True


_CHECKS = {
    "json": _schema,
    "regex": _text,
    "choice": _choice,
    "grammar": _text,
    "json_object": _flag,
}
