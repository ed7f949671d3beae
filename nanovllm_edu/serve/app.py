"""The app: which path is answered by whom.

    /v1/completions, /v1/chat/completions, /v1/models    what OpenAI's clients ask
    /tokenize                                            as at vLLM
    /health, /metrics                                    for whoever runs the server
    /openapi.json                                        all of it, described
    /watch                                               the engine at work (`serve/watch.py`)

Read next: `serve/server.py`, which listens.
"""

import time
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from nanovllm_edu import __version__
from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.errors import RequestError
from nanovllm_edu.serve.express_lane import ExpressLane, Stop
from nanovllm_edu.serve.gatekeeper import Gatekeeper, Rules
from nanovllm_edu.serve.generation import Generation
from nanovllm_edu.serve.problems import EXCEPTIONS, Problem, answer
from nanovllm_edu.serve.prometheus import registry_of
from nanovllm_edu.serve.protocol import ChatRequest, CompletionRequest, TokenizeRequest
from nanovllm_edu.serve.watch import Watch
from nanovllm_edu.serve.watch_page import add_watch

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in {
        400: "The request cannot be answered as it is.",
        401: "The API key is missing or wrong.",
        403: "This Host or Origin may not ask.",
        404: "There is no such path or model.",
        408: "The body came too slowly.",
        413: "The body is too long.",
        415: "The body is not application/json.",
        429: "Too many requests wait; try again.",
        501: "A package is missing on the server.",
        503: "The server is about to end, or is asked for more than it can do.",
        504: "It took too long.",
    }.items()
}
PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


class Served:
    """What an app serves.

    Attributes:
        llm: The engine.
        model: The name it is served by.
        rules: Who may ask for what.
        watch: The engine, seen from `/watch`.
        frame_ancestors: Origins that may show `/watch` in a frame.
        is_draining: Whether the server is about to end: it finishes what it has begun.
    """

    def __init__(
        self,
        llm: AsyncLLM,
        model: str,
        rules: Rules,
        *,
        show_text: bool = False,
        frame_ancestors: tuple[str, ...] = (),
    ) -> None:
        self.llm, self.model, self.rules = llm, model, rules
        most = rules.limits.max_watchers
        self.watch = Watch(llm, show_text=show_text, most_watchers=most)
        self.frame_ancestors = frame_ancestors
        self.is_draining = False
        self.created = int(time.time())

    @property
    def is_well(self) -> bool:
        """Whether a request would be answered."""
        return not self.is_draining and not self.llm.is_closed


def create_app(served: Served) -> ASGIApp:
    """The app, behind its gatekeeper."""
    app = FastAPI(
        title="nanovllm-edu",
        version=__version__,
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
        responses=PROBLEMS,
    )
    for kind in EXCEPTIONS:
        app.add_exception_handler(kind, answer)
    generation = Generation(served.llm, served.model, served.rules.limits)
    behind = _add_generation(app, generation)
    _add_models(app, served)
    _add_tokenize(app, generation)
    _add_care(app, served)
    add_watch(app, served.watch, served.frame_ancestors, lambda: served.is_draining)
    _describe_problems(app)
    if served.rules.origins:
        behind = CORSMiddleware(
            behind,
            allow_origins=sorted(served.rules.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return Gatekeeper(behind, served.rules, lambda: served.is_draining)


def _add_generation(app: FastAPI, generation: Generation) -> ASGIApp:
    """The app behind an express lane for what it is asked all the time."""
    express = {
        "/v1/completions": Stop(CompletionRequest, generation.complete),
        "/v1/chat/completions": Stop(ChatRequest, generation.chat),
    }
    for path, stop in express.items():  # described here
        app.add_api_route(path, stop.answer, methods=["POST"], response_model=None)
    return ExpressLane(app, express)


def _add_models(app: FastAPI, served: Served) -> None:
    model = {
        "id": served.model,
        "object": "model",
        "created": served.created,
        "owned_by": "nanovllm-edu",
        "max_model_len": served.llm.llm.engine.max_model_len,
    }

    @app.get("/v1/models", summary="The model that is served")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name:path}", summary="One model")
    async def one_model(name: str) -> dict[str, Any]:
        if name != served.model:
            raise Problem(404, f"model {name[:100]!r} is not served here.", "model")
        return model


def _add_tokenize(app: FastAPI, generation: Generation) -> None:
    llm = generation.llm

    @app.post("/tokenize", summary="A text or a conversation as tokens")
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        generation.check_model(body.model)
        if (body.prompt is None) == (body.messages is None):
            raise RequestError("give one of prompt and messages.")
        if body.messages is not None:
            tokens = await generation.chat_tokens(
                body.messages, add_generation_prompt=body.add_generation_prompt
            )
        else:
            tokens = await generation.text_tokens(
                body.prompt or "", add_special_tokens=body.add_special_tokens
            )
        pieces = llm.tokenizer.pieces(tokens) if body.return_token_strs else None
        return {
            "count": len(tokens),
            "max_model_len": llm.llm.engine.max_model_len,
            "tokens": tokens,
            "token_strs": pieces,
        }


def _add_care(app: FastAPI, served: Served) -> None:
    registry = registry_of(served.llm.metrics)

    @app.get("/health", summary="Whether a request would be answered", response_model=None)
    async def health() -> JSONResponse:
        if served.is_well:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "draining" if served.is_draining else "ended"}, 503)

    @app.get("/metrics", summary="What Prometheus asks", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/watch")


def _describe_problems(app: FastAPI) -> None:
    """The OpenAPI document says how every error looks."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        document["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)  # they are a 400 here, as at OpenAI
        return document

    app.openapi = openapi  # type: ignore[method-assign]
