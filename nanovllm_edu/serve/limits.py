"""`ServeLimits`: what one client may ask for, so that none can take everything.

Each is checked before the engine hears of a request. Read next: `serve/gatekeeper.py`,
`serve/protocol.py`.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

from dataclasses import dataclass, fields

from nanovllm_edu.errors import ConfigError, shown


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """Bounds of a server.

    Attributes:
        max_body_bytes: Longest body of a request.
        max_prompt_tokens: Longest prompt; None: what the engine can hold.
        max_tokens: Most tokens that may be asked for; None: what the engine can hold.
        max_choices: Most answers of one request: its prompts times `n`.
        max_streams: Requests that are answered at the same time.
        max_watchers: Pages that watch at the same time.
        request_seconds: A request that takes longer is ended.
        body_seconds: The body of a request must be here after so long.
    """

    max_body_bytes: int = 2**20
    max_prompt_tokens: int | None = None
    max_tokens: int | None = None
    max_choices: int = 64
    max_streams: int = 512
    max_watchers: int = 8
    request_seconds: float = 600.0
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            kinds = (int, float) if isinstance(field.default, float) else (int,)
            if not isinstance(value, kinds) or isinstance(value, bool) or not value > 0:
                raise ConfigError(f"{field.name}={shown(value)} is not a number above 0.")
