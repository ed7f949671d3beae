"""The page of `/watch`, its script and its style: the viewer's module and a few lines around it.

The policy lets it load what this server has, and nothing else; no inline script runs. Read next:
`serve/watch.js`.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from nanovllm_edu.introspect.storage import to_json
from nanovllm_edu.serve.event_stream import EventStream
from nanovllm_edu.serve.problems import Problem
from nanovllm_edu.serve.watch import Watch
from nanovllm_edu.viewer.page import to_page
from nanovllm_edu.viewer.source import viewer_script, viewer_style

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>An engine at work</title>
<link rel="stylesheet" href="watch/page.css">
<script type="module" src="watch/page.js"></script>
</head>
<body>
<header class="page-head">
<h1>An engine at work</h1>
<p><button id="follow" type="button" aria-pressed="true">Pause</button>
<span id="status" role="status">Connecting</span></p>
<p class="page-links">{downloads}</p>
</header>
<main id="viewer" data-level="everything">
<noscript>This page draws with JavaScript.</noscript>
</main>
</body>
</html>
"""
STYLE = """
body { margin: 0; font: 14px/1.5 system-ui, sans-serif; color: #1d2530; background: #fff; }
html.nv-dark-page { background: #14181e; color-scheme: dark; }
html.nv-dark-page body { color: #e3e8ee; background: #14181e; }
.page-head { max-width: 1480px; margin: 0 auto; padding: 10px 12px 4px; box-sizing: border-box;
  display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 20px; }
.page-head h1 { font-size: 19px; line-height: 1.3; margin: 0; }
.page-head p { margin: 0; }
.page-head a { color: inherit; }
.page-head button { font: inherit; color: inherit; background: transparent;
  border: 1px solid #7b8794; border-radius: 6px; padding: 3px 12px; min-width: 84px;
  cursor: pointer; margin-right: 8px; }
.page-head button:focus-visible { outline: 2px solid #4c6ef5; outline-offset: 2px; }
#viewer { max-width: 1480px; margin: 0 auto; }
"""
AS_PAGE = '<a href="watch/recording.html" download>Download these steps as a page</a>'
AS_FILE = 'or <a href="watch/recording.json" download>as a file</a>'
HIDDEN = "What was said is hidden; the server shows it when it is started with --show-text."


def page(*, show_text: bool) -> str:
    """The page."""
    return PAGE.format(downloads=f"{AS_PAGE} {AS_FILE}." if show_text else f"{AS_PAGE}. {HIDDEN}")


@cache
def script() -> str:
    """The viewer and what feeds it."""
    source = files("nanovllm_edu").joinpath("serve", "watch.js").read_text(encoding="utf-8")
    return f"{viewer_script()}\n{source}"


@cache
def style() -> str:
    """The style sheet of both."""
    return viewer_style() + STYLE


def policy(frame_ancestors: tuple[str, ...]) -> str:
    """The content security policy of the page.

    Args:
        frame_ancestors: Origins that may show it in a frame, such as a notebook's.
    """
    ancestors = " ".join(frame_ancestors) or "'none'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
    )


def add_watch(
    app: FastAPI, watch: Watch, frame_ancestors: tuple[str, ...], is_over: Callable[[], bool]
) -> None:
    """Adds the page and all that it loads to an app."""
    headers = {"Content-Security-Policy": policy(frame_ancestors)}
    if not frame_ancestors:
        headers["X-Frame-Options"] = "DENY"

    @app.get("/watch", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page(show_text=watch.show_text), headers=headers)

    @app.get("/watch/page.js", include_in_schema=False)
    async def page_script() -> Response:
        return Response(script(), media_type="text/javascript")

    @app.get("/watch/page.css", include_in_schema=False)
    async def page_style() -> Response:
        return Response(style(), media_type="text/css")

    @app.get("/watch/events", include_in_schema=False, response_model=None)
    async def events() -> ASGIApp:
        watch.check_room()
        return EventStream(watch.events(is_over))

    @app.get("/watch/recording.html", include_in_schema=False)
    async def as_page() -> HTMLResponse:
        document = await watch.document()
        text = await asyncio.to_thread(to_page, document, "A server's engine, step by step")
        # It carries its own policy, for when it is opened from disk.
        return HTMLResponse(text, headers=_attached("steps.html"))

    @app.get("/watch/recording.json", include_in_schema=False)
    async def as_file() -> Response:
        if not watch.show_text:
            raise Problem(
                403, "a recording holds what was said; start the server with --show-text."
            )
        text = await asyncio.to_thread(to_json, await watch.recording())
        return Response(text, media_type="application/json", headers=_attached("steps.json"))


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
