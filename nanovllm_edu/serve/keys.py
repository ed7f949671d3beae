"""API keys: which of them a client has sent.

Read next: `serve/gatekeeper.py`, `serve/model_host.py`, which ask.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence


def which_key(authorization: str, keys: Sequence[str]) -> int | None:
    """Which key an Authorization header holds; None if it is none of them."""
    given = _given_key(authorization).encode()
    # All are compared, each in constant time: how long it takes says nothing.
    found = [hmac.compare_digest(given, key.encode()) for key in keys]
    return found.index(True) if any(found) else None


def _given_key(authorization: str) -> str:
    """The key of "Bearer KEY"; or of "Basic", which a browser asks for: its password."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return text.partition(":")[2]
    return ""
