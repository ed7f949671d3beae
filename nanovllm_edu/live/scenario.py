"""`Scenario`: a situation that fits into a link: what the engine is, and who comes when.

    v=1&num_blocks=24&policy=mixed&ask=0,32,What%20is%20a%20KV%20cache%3F&step=12

A link comes from a stranger. It is data, never code, and bounded; whatever is wrong with it is
said by name. Whoever opens it takes the same steps, because the same requests in the same order
give the same steps.

Read next: `live/options.py`; `live/session.py`, which performs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, quote, urlencode

from nanovllm_edu.errors import ConfigError, shown
from nanovllm_edu.live.options import DEFAULTS, checked_options, checked_text, whole_number

VERSION = "1"
MAX_LINK = 8000
"""Characters."""
MAX_ARRIVALS = 24
MAX_TEXT = 1500
"""Characters of one prompt."""
MAX_STEPS = 1500
MAX_TOKENS = 256
"""That one request may ask for."""


class Arrival(NamedTuple):
    """Somebody asks.

    Attributes:
        at: Before this step.
        max_tokens: How long the answer may get.
        text: What is asked, or the beginning of a text.
        is_question: Whether it goes into the chat template, under the system message.
    """

    at: int
    max_tokens: int
    text: str
    is_question: bool = True


class Abort(NamedTuple):
    """A sequence is ended before a step."""

    at: int
    seq_id: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """A situation.

    Attributes:
        options: Each name of `DEFAULTS`, and its value.
        arrivals: Who asks, in the order of their seq_ids.
        aborts: Who is ended.
        num_steps: So many steps are taken at once when it is opened.
    """

    options: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULTS))
    arrivals: tuple[Arrival, ...] = ()
    aborts: tuple[Abort, ...] = ()
    num_steps: int = 0

    @classmethod
    def from_link(cls, link: str) -> Self:
        """What a link says, with or without its `#`.

        Raises:
            ConfigError: It is too long, of another version, or something in it is out of range.
        """
        checked_text(link, "link")
        if len(link) > MAX_LINK:
            raise ConfigError(
                f"the link has {len(link)} characters; at most {MAX_LINK} are read. Ask for a "
                "shorter one, with fewer or shorter prompts."
            )
        pairs = _pairs(link.removeprefix("#"))
        if not pairs or pairs[0][0] != "v":
            raise ConfigError("the link names no version; one from this page begins with #v=1.")
        if pairs[0][1] != VERSION:
            raise ConfigError(
                f"the link is of version {shown(pairs[0][1])}, and this page reads version "
                f"{VERSION}; open it with the page that made it."
            )
        scenario = cls()
        for name, value in pairs[1:]:
            scenario = scenario._with(name, value)
        return scenario

    def _with(self, name: str, value: str) -> Self:
        if name in ("ask", "say"):
            if len(self.arrivals) == MAX_ARRIVALS:
                raise ConfigError(f"the link has more than {MAX_ARRIVALS} prompts; remove some.")
            arrival = _arrival(name, value)
            if self.arrivals and arrival.at < self.arrivals[-1].at:
                raise ConfigError(
                    f"{name}={shown(value)} comes before step {arrival.at}, and the one in front "
                    f"of it before step {self.arrivals[-1].at}; put them in order of time."
                )
            return replace(self, arrivals=(*self.arrivals, arrival))
        if name == "abort":
            at, _, seq_id = value.partition(",")
            ended = whole_number(seq_id, name, 0, MAX_ARRIVALS - 1)
            abort = Abort(whole_number(at, name, 0, MAX_STEPS), ended)
            return replace(self, aborts=(*self.aborts, abort))
        if name == "step":
            return replace(self, num_steps=whole_number(value, name, 0, MAX_STEPS))
        return replace(self, options={**self.options, **checked_options({name: value})})

    def to_link(self) -> str:
        """The link, without `#`; defaults are left out."""
        pairs = [("v", VERSION)]
        pairs += [(k, str(v)) for k, v in self.options.items() if v != DEFAULTS[k]]
        for arrival in self.arrivals:
            name = "ask" if arrival.is_question else "say"
            pairs.append((name, f"{arrival.at},{arrival.max_tokens},{arrival.text}"))
        pairs += [("abort", f"{abort.at},{abort.seq_id}") for abort in self.aborts]
        pairs += [("step", str(self.num_steps))] if self.num_steps else []
        return urlencode(pairs, quote_via=quote, safe=",")


def checked_arrival(at: int, max_tokens: Any, text: str, is_question: bool) -> Arrival:
    """Somebody who asks now.

    Raises:
        ConfigError: The text is none, empty or too long, or a number is out of range.
    """
    if not checked_text(text, "text").strip():
        raise ConfigError("the prompt is empty; type some words.")
    if len(text) > MAX_TEXT:
        raise ConfigError(f"the prompt has {len(text)} characters; give at most {MAX_TEXT}.")
    return Arrival(
        at, whole_number(str(max_tokens), "max_tokens", 1, MAX_TOKENS), text, is_question
    )


def _pairs(link: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            link,
            keep_blank_values=True,
            strict_parsing=bool(link),
            errors="strict",
            max_num_fields=2 * MAX_ARRIVALS + len(DEFAULTS) + 2,
        )
    except ValueError as error:
        raise ConfigError(f"the link cannot be read: {error}. Copy it once more, whole.") from None


def _arrival(name: str, value: str) -> Arrival:
    at, _, rest = value.partition(",")
    max_tokens, comma, text = rest.partition(",")
    if not comma:
        raise ConfigError(
            f"{name}={shown(value)} is not step,max_tokens,text, such as {name}=0,32,Hello."
        )
    return checked_arrival(whole_number(at, name, 0, MAX_STEPS), max_tokens, text, name == "ask")
