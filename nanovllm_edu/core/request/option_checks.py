"""Checks of a request's options: a value is turned into the one that is kept, or refused.

Numbers come from notebooks, where they are often numpy's or torch's: whatever counts as an integer
in Python counts here. They go to a device, where they have 32 or 64 bits: what does not fit is
refused here, since in the middle of a step it would stop everybody.

Read next: `core/request/sampling_params.py`, which uses them.
"""

from collections.abc import Callable, Mapping
from math import isfinite, nan, nextafter
from operator import index
from struct import Struct
from typing import Any, cast

from nanovllm_edu.errors import ConfigError, shown

Check = Callable[[str, Any], Any]
"""Takes an option's name and value, and returns the value to keep.

Raises:
    ConfigError: The value is not one of this option's.
"""

MAX_STOP_STRINGS = 64
MAX_STOP_LENGTH = 1000
"""Characters of one stop string; each token of a request is looked at with them in mind."""
INT32_END = 2**31
_FLOAT32 = Struct("f")


def as_integer(value: Any) -> int | None:
    """The value as an int; None if it is no integer, or True or False."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return index(value)
    except (TypeError, ValueError):
        return None


def is_number(value: Any) -> bool:
    """Whether it is an int or a float, so that it can be compared; True and False are neither."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number(low: float, high: float, remedy: str, *, is_open: bool = False) -> Check:
    """A number in [low, high], or (low, high], also after it was rounded to 32 bits."""
    bounds = f"{'(' if is_open else '['}{low}, {high}]"
    least = nextafter(low, high) if is_open else low

    def check(name: str, value: Any) -> Any:
        as_float = _as_float(value)
        if not (least <= as_float <= high and least <= _as_32_bits(as_float) <= high):
            raise ConfigError(
                f"{name}={shown(value)} is not in {bounds} as a 32-bit number; {remedy}."
            )
        return value if type(value) in (int, float) else as_float

    return check


def _as_float(value: Any) -> float:
    if isinstance(value, (bool, str, bytes)):
        return nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return nan


def _as_32_bits(value: float) -> float:
    """The nearest number that a device has; not a number if there is none."""
    try:
        rounded = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except OverflowError:
        return nan
    return rounded if isfinite(rounded) else nan


def integer(
    low: int, remedy: str, *, below: int = INT32_END, also: Mapping[Any, Any] | None = None
) -> Check:
    """An integer in [low, below), or one of the values in `also`, which stand for others."""
    stand_ins = dict(also or {})

    def check(name: str, value: Any) -> Any:
        if value is None and None in stand_ins:
            return stand_ins[None]
        kept = as_integer(value)
        if kept in stand_ins and kept is not None:
            return stand_ins[kept]
        if kept is None or kept < low:
            raise ConfigError(f"{name}={shown(value)} is not an integer >= {low}; {remedy}.")
        if kept >= below:
            raise ConfigError(f"{name}={shown(value)} is not below {below}; {remedy}.")
        return kept

    return check


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={shown(value)} is not True or False.")
    return value


def strings(what: str) -> Check:
    """One string or several, none of them empty, broken or too long; None is none."""

    def is_right(text: Any) -> bool:
        return isinstance(text, str) and text != "" and _is_whole(text)

    def check(name: str, value: Any) -> tuple[str, ...]:
        texts = (value,) if isinstance(value, str) else _listed(name, value)
        if not all(map(is_right, texts)):
            raise ConfigError(f"{name}={shown(texts)} must hold {what}; remove the others.")
        if len(texts) > MAX_STOP_STRINGS or any(len(text) > MAX_STOP_LENGTH for text in texts):
            raise ConfigError(
                f"{name}={shown(texts)} must hold at most {MAX_STOP_STRINGS} strings of at most "
                f"{MAX_STOP_LENGTH} characters; shorten it."
            )
        return tuple(texts)

    return check


def token_ids(name: str, value: Any) -> tuple[int, ...]:
    """Integers that may be token ids; None is none."""
    listed = _listed(name, value)
    kept = [as_integer(token_id) for token_id in listed]
    right = tuple(i for i in kept if i is not None and 0 <= i < INT32_END)
    if len(right) < len(kept):
        raise ConfigError(
            f"{name}={shown(listed)} must hold integers >= 0 below {INT32_END}; remove the others."
        )
    return right


def some_token_ids(name: str, value: Any) -> tuple[int, ...] | None:
    """Token ids, at least one; None is all."""
    if value is None:
        return None
    right = tuple(dict.fromkeys(token_ids(name, value)))
    if not right:
        raise ConfigError(f"{name}={shown(value)} allows nothing; None allows every token.")
    return right


def runs_of_token_ids(name: str, value: Any) -> tuple[tuple[int, ...], ...]:
    """Lists of token ids, none of them empty; None is none."""
    runs = tuple(token_ids(name, run) for run in _listed(name, value))
    if not all(runs):
        raise ConfigError(f"{name}={shown(value)} holds an empty run; remove it.")
    return runs


def biases(name: str, value: Any) -> tuple[tuple[int, float], ...] | None:
    """Token id -> number in [-100, 100], in pairs ordered by id; None if there is none."""
    if value is None:
        return None
    is_mapping = isinstance(value, Mapping)
    listed = list(cast(Mapping[Any, Any], value).items()) if is_mapping else _listed(name, value)
    kept: dict[int, float] = {}
    for pair in listed:
        try:
            token_id, bias = pair
        except (TypeError, ValueError):
            raise ConfigError(
                f"{name}={shown(listed)} is no dictionary from token id to number; give one."
            ) from None
        (token_id,) = token_ids(name, (token_id,))
        kept[token_id] = _bias(f"{name}[{token_id}]", bias)
    return tuple(sorted(kept.items())) or None


_bias = number(-100.0, 100.0, "0 changes nothing")


def not_yet(neutral: tuple[Any, ...], remedy: str) -> Check:
    """One of the values that ask for nothing."""

    def check(name: str, value: Any) -> Any:
        if any(type(value) is type(none) and value == none for none in neutral):
            return neutral[0]
        raise ConfigError(f"{name}={shown(value)} is not supported yet; {remedy}.")

    return check


def _listed(name: str, value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    if not isinstance(value, (str, bytes, bytearray, Mapping)):
        try:
            return tuple(value)
        except TypeError:
            pass
    value = cast(object, value)
    raise ConfigError(f"{name}={shown(value)} is not a list; () switches it off.")


def _is_whole(text: str) -> bool:
    """Whether a device of text, a tokenizer, could take it: no half of a character in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
