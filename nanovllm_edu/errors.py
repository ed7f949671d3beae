"""Every error a user can cause, each saying the value, the limit and the remedy.

This module knows nothing of the engine; everything above it raises these. A mistake of a *user*
raises one of them; a mistake of *ours* fails an `assert`.

Read next: `core/request/sampling_params.py`, which raises the first of them.
"""


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


class RecordingError(NanoVLLMError, ValueError):
    """A recording is truncated, of another schema, or not a recording at all."""
