"""One HTML page with the linked view: no kernel, no network, opens from disk.

The page holds the viewer's module, its style sheet and the recording, and a policy that forbids it
to load anything at all. Text of users and models travels as JSON data and becomes text nodes, or is
escaped; never markup. `?step=13&seq=5&level=why` opens it there.

It takes a recording's document (docs/reference/recording_format.md) as a plain dict. Read next:
`viewer/source.py`; the notebook widget shows the very same view.
"""

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from textwrap import shorten
from typing import Any

from nanovllm_edu.viewer.source import viewer_script, viewer_style

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src {script_hash}; \
style-src {style_hash}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{head}
<main id="viewer" data-level="{level}">
<noscript>This page draws the recording with JavaScript.</noscript>
</main>
<script type="application/json" id="recording">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""

HEAD = """<header class="page-head">
<h1>{title}</h1>
<p>{sentence} Step with ← and →, play with the space bar. {home}</p>
{prompts}
<h2 class="nv-hidden">The steps</h2>
</header>"""

PAGE_STYLE = """
body { margin: 0; font: 14px/1.5 system-ui, sans-serif; color: #1d2530; }
html.nv-dark-page { background: #14181e; color-scheme: dark; }
html.nv-dark-page body { color: #e3e8ee; }
html.embedded .page-head { display: none; }
.page-head { max-width: 1480px; margin: 0 auto; padding: 12px 12px 4px; box-sizing: border-box; }
.page-head h1 { font-size: 19px; line-height: 1.3; margin: 0 0 2px; }
.page-head p { margin: 0 0 4px; max-width: 100ch; }
.page-head a { color: inherit; }
.page-head summary { cursor: pointer; }
.page-head ol { margin: 4px 0 6px; padding-left: 34px; max-height: 30vh; overflow: auto; }
.page-head li { overflow-wrap: anywhere; }
#viewer { max-width: 1480px; margin: 0 auto; }
"""

START = """
if (window.top !== window) document.documentElement.classList.add("embedded");
const data = JSON.parse(document.getElementById("recording").textContent);
mount(document.getElementById("viewer"), data);
"""

LONGEST_PROMPT = 400
"""Characters of a prompt that are shown above the view; below it is whole."""
FEW_PROMPTS = 6
"""So many are shown at once; more are folded."""


def to_page(document: dict[str, Any], title: str, home: str = "", level: str = "everything") -> str:
    """The page of a recording's document, as text.

    Args:
        document: What `introspect.view.encode_view` returns.
        title: Its heading, and the name of the tab.
        home: Where its link leads; without it there is none.
        level: What is shown at first: "basic", "why" or "everything".
    """
    script = viewer_script() + START
    style = viewer_style() + PAGE_STYLE
    return PAGE.format(
        title=escape(title),
        style=style,
        style_hash=_csp_hash(style),
        script=script,
        script_hash=_csp_hash(script),
        level=escape(level),
        head=_head(document, title, home),
        data=embedded_json(document),
    )


def _head(document: dict[str, Any], title: str, home: str) -> str:
    prompts = _prompts(document)
    num_steps = sum("step" in entry for entry in document["journal"])
    sentence = (
        f"{_counted(num_steps, 'step')} of an LLM inference engine that answers "
        f"{_counted(len(prompts), 'prompt')}: what it computed, where it keeps it, and why."
    )
    items = "".join(f"<li>{escape(shorten(text, LONGEST_PROMPT))}</li>" for text in prompts)
    is_open = " open" if len(prompts) <= FEW_PROMPTS else ""
    return HEAD.format(
        title=escape(title),
        sentence=sentence,
        home=f'<a href="{escape(home)}" target="_top">What is this?</a>' if home else "",
        prompts=f"<details{is_open}><summary>The prompts</summary><ol>{items}</ol></details>",
    )


def _prompts(document: dict[str, Any]) -> list[str]:
    """Each request's prompt as text, or as token ids without a tokenizer."""
    requests = [
        *document["initial"]["requests"],
        *(entry["add"] for entry in document["journal"] if "add" in entry),
    ]
    pieces, between = document["pieces"], "" if document["pieces"] else " "
    return [
        between.join(
            pieces.get(str(token_id), str(token_id))
            for token_id in request["token_ids"][: request["num_prompt_tokens"]]
        )
        for request in requests
    ]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def embedded_json(document: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _csp_hash(text: str) -> str:
    """How a content security policy names an inline script or style."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
