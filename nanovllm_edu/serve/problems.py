"""What is wrong, in OpenAI's words: `{"error": {"message", "type", "param", "code"}}`.

A client's library decides by the status and the type whether to try again. Errors of this package
say the value, the limit and the remedy already; here each kind gets its status. What is nobody's
mistake but ours is a 500 that tells no inside.

Read next: `serve/gatekeeper.py`, `serve/app.py`.
"""

import logging
import re
from math import ceil
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from nanovllm_edu.errors import (
    ConfigError,
    EngineClosedError,
    MissingPackageError,
    NanoVLLMError,
    OverloadedError,
    PromptTooLongError,
    RequestError,
    StepFailedError,
    TooBusyError,
    shown,
)

LOG = logging.getLogger("nanovllm_edu.serve")

Kind = tuple[int, str, str | None]
"""Status, type, code."""

KINDS: dict[type[Exception], Kind] = {
    PromptTooLongError: (400, "invalid_request_error", "context_length_exceeded"),
    RequestError: (400, "invalid_request_error", None),
    ConfigError: (400, "invalid_request_error", None),
    MissingPackageError: (501, "invalid_request_error", "unsupported"),
    OverloadedError: (503, "server_error", "overloaded"),
    TooBusyError: (429, "rate_limit_error", "too_busy"),
    EngineClosedError: (503, "server_error", "shutting_down"),
    StepFailedError: (500, "server_error", "step_failed"),
    TimeoutError: (504, "timeout_error", "timeout"),
}
OF_STATUS: dict[int, tuple[str, str | None]] = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "forbidden"),
    404: ("not_found_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    408: ("timeout_error", "timeout"),
    413: ("invalid_request_error", "body_too_large"),
    415: ("invalid_request_error", "unsupported_media_type"),
    429: ("rate_limit_error", "too_busy"),
    503: ("server_error", "shutting_down"),
}
_OPTION = re.compile(r"^(?:unknown option )?([a-z_]+)(?:=| holds )")


class Problem(HTTPException):
    """A request that cannot be answered as it is."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(status, message)
        self.param, self.code = param, code


def body_of(error: BaseException) -> tuple[int, dict[str, Any]]:
    """Status and body for whatever was raised."""
    if isinstance(error, HTTPException):
        kind, code = OF_STATUS.get(error.status_code, ("invalid_request_error", None))
        param, own = (error.param, error.code) if isinstance(error, Problem) else (None, None)
        return error.status_code, _body(str(error.detail), kind, param, own or code)
    if isinstance(error, RequestValidationError):
        return 400, _body(*_what_does_not_fit(error))
    for known, (status, kind, code) in KINDS.items():
        if isinstance(error, known):
            named = _OPTION.match(str(error)) if status == 400 else None
            return status, _body(str(error), kind, named and named[1], code)
    LOG.error("a request failed", exc_info=error)
    return 500, _body("the server failed; its log says why.", "server_error", None, "internal")


def _body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _what_does_not_fit(error: RequestValidationError) -> tuple[str, str, str | None, str | None]:
    """The first thing in the body that has not the shape it must have."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    name = place[0] if place else None  # what follows names the alternatives of a type, too
    if first["type"] == "json_invalid":
        return f"the body is no JSON: {first['ctx']['error']}", "invalid_request_error", None, None
    if first["type"] == "extra_forbidden":
        text = f"unknown option {shown(name)}={shown(first['input'])}; remove it."
        return text, "invalid_request_error", name, "unknown_parameter"
    message = f"{name or 'the body'}={shown(first.get('input'))}: {first['msg']}."
    return message, "invalid_request_error", name, None


def headers_of(status: int, error: BaseException) -> dict[str, str]:
    """What a client should know besides."""
    if isinstance(error, OverloadedError):
        return {"Retry-After": str(max(1, ceil(error.retry_seconds)))}
    if status in (429, 503):
        return {"Retry-After": "1"}
    return {"WWW-Authenticate": "Bearer, Basic"} if status == 401 else {}


def response_of(error: BaseException) -> JSONResponse:
    """The answer to a request that failed."""
    status, body = body_of(error)
    return JSONResponse(body, status, headers_of(status, error))


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The handler of exceptions of an app."""
    return response_of(error)


EXCEPTIONS: tuple[type[Exception], ...] = (
    HTTPException,
    RequestValidationError,
    NanoVLLMError,
    TimeoutError,
    Exception,
)
"""What `answer` is registered for."""
