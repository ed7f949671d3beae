"""What a document must look like, and where it does not: a file may come from anywhere.

    Count                 an integer >= 0
    [Count]               a list of them
    (Count, str)          a list of exactly these
    {"x": Count, "y?": str}   an object; `y` may be missing
    {str: Count}          an object with any keys
    Either(Count, None)   one of several

Only the shape is checked here. What the numbers mean, the decoder knows. Read next:
`introspect/decoder.py`.
"""

from dataclasses import dataclass
from typing import Any

from nanovllm_edu.errors import RecordingError


class Count:
    """An integer >= 0 (true and false are none)."""


@dataclass(frozen=True, slots=True, init=False)
class Either:
    """One of several shapes."""

    shapes: tuple[Any, ...]

    def __init__(self, *shapes: Any) -> None:
        object.__setattr__(self, "shapes", shapes)


Number = Either(int, float)
Numbers = [Count]
Optional = Either(Count, None)


def check(value: Any, shape: Any, where: str) -> None:
    """Compares a value of a JSON document with a shape.

    Raises:
        RecordingError: It differs; the message says where.
    """
    fault = _fault(value, shape, where)
    if fault:
        raise RecordingError(f"the recording is damaged: {fault}; save it again.")


def _fault(value: Any, shape: Any, where: str) -> str | None:
    """What is wrong, with the place; None if nothing is."""
    match shape:
        case None:
            return None if value is None else _no(value, where, "null")
        case Either():
            if any(_fault(value, one, where) is None for one in shape.shapes):
                return None
            return _no(value, where, " or ".join(map(_name, shape.shapes)))
        case list():
            return _fault_in_list(value, shape[0], where)
        case tuple():
            return _fault_in_tuple(value, shape, where)
        case dict():
            return _fault_in_dict(value, shape, where)
        case _:
            return None if _is(value, shape) else _no(value, where, _name(shape))


def _is(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind is Count:
        return type(value) is int and value >= 0
    return type(value) is kind


def _fault_in_list(value: Any, shape: Any, where: str) -> str | None:
    if type(value) is not list:
        return _no(value, where, "a list")
    if shape is Count and all(type(item) is int and item >= 0 for item in value):
        return None  # most of a document
    faults = (_fault(item, shape, f"{where}[{i}]") for i, item in enumerate(value))
    return next(filter(None, faults), None)


def _fault_in_tuple(value: Any, shape: tuple[Any, ...], where: str) -> str | None:
    if type(value) is not list or len(value) != len(shape):
        return _no(value, where, f"a list of {len(shape)}")
    pairs = enumerate(zip(value, shape, strict=True))
    faults = (_fault(item, one, f"{where}[{i}]") for i, (item, one) in pairs)
    return next(filter(None, faults), None)


def _fault_in_dict(value: Any, shape: dict[Any, Any], where: str) -> str | None:
    if type(value) is not dict:
        return _no(value, where, "an object")
    if str in shape:
        faults = (_fault(item, shape[str], f"{where}.{key}") for key, item in value.items())
        return next(filter(None, faults), None)
    for key, one in shape.items():
        name = key.removesuffix("?")
        if name not in value and key == name:
            return f"{where} has no {name!r}"
        if name in value and (fault := _fault(value[name], one, f"{where}.{name}")):
            return fault
    return None


def _no(value: Any, where: str, wanted: str) -> str:
    shown = repr(value)
    return f"{where} is {shown if len(shown) <= 60 else shown[:57] + '...'}, not {wanted}"


def _name(shape: Any) -> str:
    if shape is None:
        return "null"
    if isinstance(shape, (list, tuple, dict)):
        return "an object" if isinstance(shape, dict) else "a list"
    return {Count: "an integer >= 0", int: "an integer", float: "a number", str: "text"}.get(
        shape, str(shape)
    )
