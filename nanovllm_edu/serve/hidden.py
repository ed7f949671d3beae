"""What a stranger may see of an engine at work: everything but what people and the model said.

Positions, blocks, queues, times and reasons are there; token ids, texts, hashes (a guess at a text
could be checked by one), seeds and what was asked to be avoided or to end at are not. Only what is
named here passes: a field that comes later stays hidden until somebody decides otherwise.

It takes the entries of `introspect/view.py` and changes none. Read next: `serve/watch.py`.
"""

import re
from typing import Any

from nanovllm_edu.core.events import (
    Admitted,
    BlockEvicted,
    BlocksAllocated,
    BlocksCached,
    BlocksFreed,
    Preempted,
    PrefixHit,
    PromptShared,
)
from nanovllm_edu.introspect.labels import LABELS

Values = dict[str, Any]

PIECES = {"0": "·"}
"""Every token looks the same."""
PLAIN = (
    "step",
    "spans",
    "on",
    "times",
    "marks",
    "blocked",
    "in_flight",
    "planned",
    "at",
    "preempted",
    "ranks",
)
PLAIN += ("tables",)
"""Fields of an entry that hold nothing but numbers and reasons of the scheduler's."""
PLAIN_OF_STATE = ("gone", "on", "seqs", "origins", "rows", "tables", "waiting", "running", "order")
PLAIN_PARAMS = {
    *("temperature", "top_k", "top_p", "min_p", "max_tokens", "min_tokens", "n", "ignore_eos"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty", "logprobs"),
}
SENTENCES = {
    list(LABELS).index(kind)
    for kind in (
        *(Admitted, PrefixHit, PromptShared, BlocksAllocated, BlocksCached, BlocksFreed),
        *(BlockEvicted, Preempted),
    )
}
"""Kinds of event whose sentence is made of numbers; other sentences may quote a text."""
_HASH = re.compile(r"\b[0-9a-f]{16}\b")


def hidden_document(document: Values) -> Values:
    """A view's document without what was said."""
    initial = document["initial"]
    return {
        **{k: v for k, v in document.items() if k not in ("pieces", "initial", "journal")},
        "pieces": PIECES,
        "initial": {
            "requests": [_request(request) for request in initial["requests"]],
            "state": _state(initial.get("state", {})),
        },
        "journal": [hidden_entry(entry) for entry in document["journal"]],
    }


def hidden_entry(entry: Values) -> Values:
    """One entry of a view without what was said."""
    shown = {name: entry[name] for name in PLAIN if name in entry}
    if "add" in entry:
        shown["add"] = _request(entry["add"])
    if "update" in entry:
        shown |= {"update": entry["update"], "params": _params(entry["params"])}
    if "resume" in entry:
        shown["resume"] = "a step failed"
    if "tokens" in entry:
        shown["tokens"] = [[seq, at, *_blank(ids)] for seq, at, *ids in entry["tokens"]]
    if "given" in entry:
        shown["given"] = _blank(entry["given"])
    if "drafts" in entry:
        shown["drafts"] = {seq: [_blank(ids), n] for seq, (ids, n) in entry["drafts"].items()}
    for name in ("finished", "abort"):
        if name in entry:
            shown[name] = {seq: [reason, ""] for seq, (reason, _) in entry[name].items()}
    if "events" in entry:
        shown["events"] = [_event(*event) for event in entry["events"]]
    if "state" in entry:
        shown["state"] = _state(entry["state"])
    return shown


def _request(request: Values) -> Values:
    return {
        "seq_id": request["seq_id"],
        "num_prompt_tokens": request["num_prompt_tokens"],
        "token_ids": _blank(request["token_ids"]),
        "params": _params(request["params"]),
        "seed": 0,
    }


def _params(params: Values) -> Values:
    return {name: value for name, value in params.items() if name in PLAIN_PARAMS}


def _blank(token_ids: list[int]) -> list[int]:
    return [0] * len(token_ids)


def _event(kind: int, seq_id: int, sentence: str, *blocks: int) -> list[Any]:
    text = _HASH.sub("…", sentence) if kind in SENTENCES else "(hidden)"
    return [kind, seq_id, text, *blocks]


def _state(state: Values) -> Values:
    shown = {name: state[name] for name in PLAIN_OF_STATE if name in state}
    if "blocks" in state:
        shown["blocks"] = [[block, users, _content(what)] for block, users, what in state["blocks"]]
    if "matches" in state:
        matches = state["matches"].items()
        shown["matches"] = {seq: [at, _HASH.sub("…", why)] for seq, (at, why) in matches}
    return shown


def _content(content: list[Any] | None) -> list[Any] | None:
    if content is None:
        return None
    _, seq_id, place = content
    return [None, seq_id, _blank(place) if isinstance(place, list) else place]
