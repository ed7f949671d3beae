"""Every error a user can cause, each saying the value, the limit and the remedy.

This module knows nothing of the engine; everything above it raises these. A mistake of a *user*
raises one of them; a mistake of *ours* fails an `assert`.

What their messages share is at the end: values are shortened, names are guessed.

Read next: `core/request/sampling_params.py`, which raises the first of them.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import Any, TypeVar, cast


class NanoVLLMError(Exception):
    """Base class: `except NanoVLLMError` catches whatever this package says on purpose."""


class ConfigError(NanoVLLMError, ValueError):
    """An option is unknown, of the wrong type or out of range, or two options contradict."""


class RequestError(NanoVLLMError, ValueError):
    """One request cannot be accepted. The engine goes on serving the others."""


class PromptTooLongError(RequestError):
    """The prompt leaves no room for even one generated token within `max_model_len`."""


class UnknownRequestError(RequestError, KeyError):
    """No such sequence: it was never added, or it has finished."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class ModelLoadError(NanoVLLMError):
    """A model folder is unreadable, unsupported, or its tensors do not fit its config."""


class MissingPackageError(NanoVLLMError, ImportError):
    """Something was asked for that needs a package which is not installed."""


class BackendUnavailableError(NanoVLLMError, RuntimeError):
    """An attention backend was asked for that this machine, dtype or block size rules out."""


class OutOfDeviceMemoryError(NanoVLLMError, RuntimeError):
    """The weights or the KV cache do not fit on the device."""


class EngineClosedError(NanoVLLMError, RuntimeError):
    """The engine was closed; its cache is gone."""


class TooBusyError(NanoVLLMError, RuntimeError):
    """Too many requests wait already; this one was not queued. Try again later."""


class OverloadedError(TooBusyError):
    """A request waited for its turn as long as it makes sense, and was turned away unbegun.

    Attributes:
        retry_seconds: When it may be worth asking again.
    """

    def __init__(self, message: str, retry_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class StepFailedError(NanoVLLMError, RuntimeError):
    """The step that computed a request failed, and the request with it. The engine goes on."""


class WorkloadError(NanoVLLMError, ValueError):
    """A load cannot be made: arrivals are out of order, or the server to be asked is not there."""


class DeviceLostError(NanoVLLMError, RuntimeError):
    """The device is gone, or out of reach, with all that it knew: its tables and its KV cache.

    No request is lost: all go back to the queue with their tokens. Step again to go on, once the
    device can be reached.
    """


class WireError(NanoVLLMError, ValueError):
    """Bytes from another process are damaged, too many, of another version, or mean nothing."""


class RecordingError(NanoVLLMError, ValueError):
    """A recording is truncated, of another schema, or not a recording at all."""


class CalibrationError(NanoVLLMError, ValueError):
    """A calibration is unreadable, of another model or device, or cannot be made of this run."""


class TraceError(NanoVLLMError, ValueError):
    """Arrivals are no requests, come at impossible times, or in the wrong order."""


class RoutingError(NanoVLLMError, ValueError):
    """A router named no replica that is there."""


# ----------------------------------------------------------------------- what messages share

Kind = TypeVar("Kind")
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdict = 8
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """The value as Python writes it, shortened: a message must not repeat a million characters."""
    if isinstance(value, int) and value.bit_length() > 400:  # Python refuses to print the largest
        return f"an integer of {value.bit_length()} bits"
    try:
        text = _SHORT.repr(value)
    except Exception:  # whatever a stranger's __repr__ does
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 400 else f"{text[:300]}...{text[-80:]}"


def listed(items: Any, name: str, error: type[NanoVLLMError]) -> list[Any]:
    """What can be iterated over as a list; raises the error if it is text, or cannot."""
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        raise error(f"{name}={shown(items)} is no list of several; give one.")
    return list(cast(Iterable[Any], items))


def of_type(
    value: Any, kind: type[Kind], name: str, remedy: str, error: type[NanoVLLMError] = ConfigError
) -> Kind:
    """The value, if it is of this type; raises the error if it is not."""
    if not isinstance(value, kind):
        raise error(f"{name}={shown(value)} is not of type {kind.__name__}; {remedy}.")
    return value


def unknown_option(
    name: str, value: object, known: Iterable[str], meant: str | None = None
) -> ConfigError:
    """The error for an option that does not exist: it names the one meant, or all there are."""
    names, asked = list(known), name[:100]
    longer = [right for right in names if len(asked) > 2 and right.startswith(asked)]
    close = [meant] if meant else longer or get_close_matches(asked, names, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}."
    return ConfigError(f"unknown option {asked}={shown(value)}; {hint}")


def broken_text(error: UnicodeEncodeError, what: str) -> RequestError:
    """The error for a text that holds half of a character: no tokenizer can take it."""
    half, position = error.object[error.start], error.start
    return RequestError(
        f"{what} holds half of a character, {half!r}, at position {position}; remove it, or read "
        "the text anew with errors='replace'."
    )
