"""`ExpressLane`: the way of what a server is asked all the time, past what the rest needs.

FastAPI looks at each request through a dozen layers: where it belongs, what its parameters are and
where they come from, how its answer is to be checked. That takes as long as everything else that
is done for a request before its first token. But for the few paths that generate all of it is
known: the body is JSON of one shape, and the answer is a response.

    POST to a path with a stop here     body ─► its shape ─► answer
    anything else                       the app behind

The app behind has the same paths, since it describes them; through it the answers are the same.

Read next: `serve/app.py`, which lays it; `serve/generation.py`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from nanovllm_edu.serve.problems import Problem, response_of


class Stop(NamedTuple):
    """What is answered at a path.

    Attributes:
        shape: Of the body.
        answer: From the body and the request to a response; whatever it raises becomes one.
    """

    shape: type[BaseModel]
    answer: Callable[[Any, Request], Awaitable[ASGIApp]]


class ExpressLane:
    """ASGI middleware.

    Args:
        app: What answers everything else.
        stops: By their paths.
    """

    def __init__(self, app: ASGIApp, stops: Mapping[str, Stop]) -> None:
        self._app, self._stops = app, stops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stop = self._stops.get(scope.get("path", ""))
        if stop is None or scope.get("method") != "POST":  # a websocket has none
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        try:
            response = await stop.answer(_read(await request.body(), stop.shape), request)
        except Exception as error:
            response = response_of(error)
        await response(scope, receive, send)


def _read(body: bytes, shape: type[BaseModel]) -> BaseModel:
    """A body in its shape.

    Raises:
        Problem: It is no JSON.
        RequestValidationError: It has another shape.
    """
    try:
        return shape.model_validate(json.loads(body), from_attributes=True)  # as FastAPI does
    except json.JSONDecodeError as error:
        raise Problem(400, f"the body is no JSON: {error.msg}") from None
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, f"the body cannot be read: {type(error).__name__}.") from None
