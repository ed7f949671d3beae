"""One HTML page with the linked view: no kernel, no network, opens from disk.

The page holds the viewer's module, its style sheet and the recording, and a policy that forbids it
to load anything at all. Text of users and models travels as JSON data and becomes text nodes, never
markup.

Read next: `viewer/source.py`; the notebook widget shows the very same view.
"""

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
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
<main id="viewer"><noscript>This page draws the recording with JavaScript.</noscript></main>
<script type="application/json" id="recording">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""

PAGE_STYLE = """
body { margin: 0; }
html.nv-dark-page { background: #14181e; color-scheme: dark; }
#viewer { max-width: 1480px; margin: 0 auto; }
"""

START = """
const data = JSON.parse(document.getElementById("recording").textContent);
mount(document.getElementById("viewer"), data);
"""


def to_page(document: dict[str, Any], title: str) -> str:
    """The page of a recording's document, as text."""
    script = viewer_script() + START
    style = viewer_style() + PAGE_STYLE
    return PAGE.format(
        title=escape(title),
        style=style,
        style_hash=_csp_hash(style),
        script=script,
        script_hash=_csp_hash(script),
        data=embedded_json(document),
    )


def embedded_json(document: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _csp_hash(text: str) -> str:
    """How a content security policy names an inline script or style."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
