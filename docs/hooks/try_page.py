"""The page of the live engine: its styles, and a policy that the page keeps to.

The policy lets the page load what the site has, and run no script that is not a file of it; the
theme's own inline scripts are named by their hashes. The worker is a file of the site as well.
"""

import re
from base64 import b64encode
from hashlib import sha256

PAGE = "try.md"
INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
STYLES = ("live/viewer.css", "try/try.css")
POLICY = (
    "default-src 'none'; script-src 'self' {script}; style-src 'self' {style}; img-src 'self' "
    "data:; font-src 'self'; connect-src 'self'; worker-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def on_post_page(output, page, **_):
    """Adds the page's styles and its policy."""
    if page.file.src_uri != PAGE:
        return output
    hashes = {"script": [], "style": []}
    for kind, text in INLINE.findall(output):
        digest = b64encode(sha256(text.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    policy = POLICY.format(**{kind: " ".join(found) for kind, found in hashes.items()})
    charset = '<meta charset="utf-8">'
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    last = "".join(f'<link rel="stylesheet" href="{name}">\n' for name in STYLES)
    output = output.replace(charset, f"{charset}\n{meta}", 1)
    return output.replace("</head>", f"{last}</head>", 1)
