"""Random JSON schemas: what llguidance supports of the notation, in bounds that a test can afford.

Strings, arrays and numbers have bounds, so that an answer comes to an end whatever is drawn.
"""

from random import Random
from typing import Any

NAMES = ["id", "name", "tags", "größe", 'a "quoted" key', "x", "y", "note"]
PATTERNS = ["^[a-z]{1,5}$", "^(yes|no)$", "^[A-Z][a-z]{0,6}( [A-Z][a-z]{0,6})?$", r"^\d{3}-\d{4}$"]
FORMATS = ["date", "ipv4", "uuid"]
VALUES = ["red", "green", 7, -1.5, True, None, "é\n", {"a": [1, 2]}, []]


def random_schema(random: Random, depth: int = 3) -> dict[str, Any]:
    """A schema, at the top of which definitions may stand."""
    schema = _schema(random, depth)
    if random.random() < 0.2:
        target = _schema(random, 1)
        item = {"$ref": "#/$defs/thing"}
        schema = {
            "$defs": {"thing": target},
            "type": "object",
            "properties": {"first": schema, "second": item},
            "required": ["second"],
            "additionalProperties": False,
        }
    return schema


def _schema(random: Random, depth: int) -> dict[str, Any]:
    leaves = [_string, _integer, _number, _constant, _plain]
    branches = [_object, _object, _array, _any_of, _all_of]
    return random.choice(leaves + branches * (depth > 0))(random, depth)


def _object(random: Random, depth: int) -> dict[str, Any]:
    names = random.sample(NAMES, random.randint(0, 4))
    return {
        "type": "object",
        "properties": {name: _schema(random, depth - 1) for name in names},
        "required": [name for name in names if random.random() < 0.6],
        "additionalProperties": False,
    }


def _array(random: Random, depth: int) -> dict[str, Any]:
    low = random.randint(0, 2)
    schema: dict[str, Any] = {"type": "array", "minItems": low}
    schema["maxItems"] = low + random.randint(0, 3)
    if random.random() < 0.3:
        schema["prefixItems"] = [_schema(random, 0) for _ in range(low)]
    return {**schema, "items": _schema(random, depth - 1)}


def _string(random: Random, _: int) -> dict[str, Any]:
    kind = random.random()
    if kind < 0.3:
        return {"type": "string", "pattern": random.choice(PATTERNS)}
    if kind < 0.5:
        return {"type": "string", "format": random.choice(FORMATS)}
    low = random.randint(0, 3)
    return {"type": "string", "minLength": low, "maxLength": low + random.randint(0, 8)}


def _integer(random: Random, _: int) -> dict[str, Any]:
    low = random.randint(-1000, 1000)
    return random.choice(
        (
            {"type": "integer", "minimum": low, "maximum": low + random.randint(0, 5000)},
            {"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": low + 12},
            {"type": "integer", "minimum": 0, "maximum": 1000, "multipleOf": low % 7 + 1},
        )
    )


def _number(random: Random, _: int) -> dict[str, Any]:
    return {"type": "number", "minimum": random.randint(-20, 0), "maximum": random.randint(1, 99)}


def _constant(random: Random, _: int) -> dict[str, Any]:
    if random.random() < 0.5:
        return {"const": random.choice(VALUES)}
    return {"enum": random.sample(VALUES, random.randint(1, 4))}


def _plain(random: Random, _: int) -> dict[str, Any]:
    return {"type": random.choice(("boolean", "null", ["boolean", "null"]))}


def _any_of(random: Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [_schema(random, depth - 1) for _ in range(random.randint(1, 3))]}


def _all_of(random: Random, depth: int) -> dict[str, Any]:
    low = random.randint(0, 50)
    return {"allOf": [{"type": "integer", "minimum": low}, {"maximum": low + random.randint(0, 9)}]}
