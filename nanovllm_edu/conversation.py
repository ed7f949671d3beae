"""From a conversation to the text of a prompt: what it may hold, and how a chat template prints it.

A chat template is a program that came with a model's files, and a message is text that anybody may
have written. So the program gets a time limit, and the text keeps to its place: where it spells a
special token, the prompt is cut inside that spelling, so that no such token can come of it.

It knows a tokenizer only by its chat template. Read next: `tokenizer.py`, the caller.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from types import FrameType
from typing import Any, NotRequired, TypedDict

from nanovllm_edu.chat_template import GENERATION_TAG
from nanovllm_edu.errors import RequestError, broken_text, shown

EXAMPLE = "[{'role': 'user', 'content': 'Hello'}]"
TIME_LIMIT = 5.0
"""Seconds that a chat template may take; an honest one needs a thousandth."""


class TextPart(TypedDict):
    """A part of a message's content; type is "text"."""

    type: str
    text: str


class Message(TypedDict):
    """One turn of a conversation; role is "system", "user" or "assistant"."""

    role: str
    content: NotRequired[str | list[TextPart] | None]


def as_conversations(messages: Any) -> list[list[Message]]:
    """One conversation or several, as a list of conversations.

    Raises:
        RequestError: It is neither.
    """
    if not isinstance(messages, (list, tuple)):
        raise _no_conversation(messages)
    is_one = bool(messages) and isinstance(messages[0], dict)
    return [checked(one) for one in ([messages] if is_one else messages)]


def checked(messages: Any) -> list[Message]:
    """A conversation whose contents are strings: parts of type "text" are joined by line breaks.

    Raises:
        RequestError: It is no list of messages, or a message is not one.
    """
    if not isinstance(messages, (list, tuple)):
        raise _no_conversation(messages)
    if not messages:
        raise RequestError("the conversation is empty; give at least one message.")
    return [_checked_message(message) for message in messages]


def _checked_message(message: Any) -> Message:
    if not isinstance(message, dict):
        raise _no_conversation(message)
    if not isinstance(message.get("role"), str):
        raise RequestError(f"the message {shown(message)} has no role; write {EXAMPLE}.")
    content = message.get("content")
    if isinstance(content, (list, tuple)):
        content = "\n".join(_text_of(part) for part in content)
    elif content is None and message.get("tool_calls"):
        content = ""  # an assistant that called a tool may have said nothing
    if not isinstance(content, str):
        raise RequestError(
            f"the content {shown(content)} of a message is neither text nor a list of parts; "
            f"write {EXAMPLE}."
        )
    try:
        content.encode()
    except UnicodeEncodeError as error:
        raise broken_text(error, "a message's content") from None
    return {**message, "content": content}  # type: ignore[typeddict-item]


def _text_of(part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    if kind != "text":
        raise RequestError(
            f"a content part of type {shown(kind)} is not supported: only text is read; leave "
            "it out."
        )
    if not isinstance(part.get("text"), str):
        raise RequestError(f"the content part {shown(part)} has no text.")
    return part["text"]


def _no_conversation(value: Any) -> RequestError:
    return RequestError(
        f"{shown(value)} is no conversation, which is a list of messages such as {EXAMPLE}; for "
        "plain text call generate()."
    )


def render(
    tokenizer: Any,
    messages: list[Message],
    *,
    special_texts: list[str],
    variables: dict[str, Any],
    **options: bool,
) -> list[str]:
    """Applies a chat template.

    Args:
        tokenizer: One of transformers, or one that answers like it.
        messages: A checked conversation.
        special_texts: How special tokens are spelt.
        variables: Further variables of the template.
        **options: Of `apply_chat_template`.

    Returns:
        The text in parts; only together do two of them spell a special token, and they must not.

    Raises:
        RequestError: The template refuses the conversation, or takes too long.
    """
    # The longest first: one spelling may be the beginning of another.
    spellings = sorted((re.escape(text) for text in special_texts if len(text) > 1), reverse=True)
    special = re.compile("|".join(spellings) or "(?!)")
    try:
        knife = _unused_character(messages)
        guarded = [_guarded(message, special, knife) for message in messages]
        if _wants_parts(tokenizer.get_chat_template()):
            guarded = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in guarded]
        with _time_limit(TIME_LIMIT):
            text = tokenizer.apply_chat_template(guarded, tokenize=False, **options, **variables)
    except Exception as error:  # a template raises what its author chose
        raise RequestError(
            f"the chat template refuses {shown(messages)}: {error!s:.300}"
        ) from error
    return [part for part in text.split(knife) if part]


def _guarded(value: Any, special: re.Pattern[str], knife: str) -> Any:
    """The same with the spelling of every special token cut behind its first character."""
    if isinstance(value, str):
        return special.sub(lambda found: found[0][0] + knife + found[0][1:], value)
    if isinstance(value, dict):
        return {name: _guarded(inner, special, knife) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_guarded(inner, special, knife) for inner in value]
    return value


def _unused_character(messages: list[Message]) -> str:
    """One of Unicode's noncharacters, which no text should hold and which this one does not."""
    text = repr(messages) + "".join(str(message.get("content")) for message in messages)
    return next(c for c in map(chr, range(0xFDD0, 0xFDF0)) if c not in text)


def _wants_parts(template: str) -> bool:
    """Whether a template goes through a content's parts and does not know a content of text."""
    from jinja2 import Environment, TemplateError, nodes

    try:
        environment = Environment(extensions=["jinja2.ext.loopcontrols"])
        tree = environment.parse(GENERATION_TAG.sub("", template))
    except TemplateError:
        return False  # applying it will say what is wrong
    if any(test.name == "string" for test in tree.find_all(nodes.Test)):
        return False
    names = {"content"}
    for assigned in tree.find_all(nodes.Assign):
        if isinstance(assigned.target, nodes.Name) and _is_content(assigned.node, names):
            names.add(assigned.target.name)
    return any(_is_content(loop.iter, names) for loop in tree.find_all(nodes.For))


def _is_content(node: Any, names: set[str]) -> bool:
    from jinja2 import nodes

    if isinstance(node, nodes.Filter):
        return _is_content(node.node, names)
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == "content"
    if isinstance(node, nodes.Getattr):
        return node.attr == "content"
    return isinstance(node, nodes.Name) and node.name in names


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Ends what this thread computes, if it is Python, after so long.

    A template is compiled to Python, so the interpreter's own hook sees every line of it. A signal
    would reach the main thread only, and a thread cannot be ended from outside.
    """
    deadline = perf_counter() + seconds
    before = sys.gettrace()

    def watch(frame: FrameType, event: str, argument: object) -> Any:
        if perf_counter() > deadline:
            raise TimeoutError(f"it takes longer than {seconds} s, as an endless loop would.")
        return watch

    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)
