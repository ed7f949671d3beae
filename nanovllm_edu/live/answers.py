"""Between a page and its session: a verb and JSON in, JSON out, and mistakes as sentences.

    answer(session, "step", "{}")    '{"value": {"branches": [...], "last": 0, ...}}'

Read next: `live/session.py`; `docs/live/worker.js`, who asks.
"""

from json import dumps, loads

from nanovllm_edu.errors import ConfigError, NanoVLLMError
from nanovllm_edu.lessons.exercise import Wrong
from nanovllm_edu.lessons.sandbox import explain
from nanovllm_edu.live.session import Session

VERBS = {
    "menu", "start", "step", "add", "abort", "fork", "close_fork", "page", "recording", "check",
    "score",
}  # fmt: skip
"""What a page may ask for."""


def answer(session: Session, verb: str, arguments: str) -> str:
    """Runs a verb.

    Args:
        session: Whose.
        verb: One of `VERBS`.
        arguments: Its keyword arguments as a JSON object.

    Returns:
        JSON: `{"value": ...}`, or `{"error": ...}` with a sentence.
    """
    try:
        if verb not in VERBS:
            raise ConfigError(f"{verb!r} is not one of {', '.join(sorted(VERBS))}.")
        return dumps({"value": getattr(session, verb)(**loads(arguments))}, ensure_ascii=False)
    except (NanoVLLMError, Wrong) as error:
        return dumps({"error": str(error)})
    except Exception as error:  # a learner's policy may raise anything
        return dumps({"error": explain(error)})
