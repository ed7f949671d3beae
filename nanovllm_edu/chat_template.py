"""Applies a chat template: the program, in the language of jinja2, that writes a conversation.

transformers does the same and takes a second to import, so tokenizers that can do without it apply
their templates here. A template is other people's program and runs in jinja2's sandbox.

It knows nothing of tokens. Used by `fast_tokenizer.py` and `plain_tokenizer.py`.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

END = "\U0010fffe"
"""Where a message ends that goes on: a noncharacter, which no text should hold."""

GENERATION_TAG = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
"""Tags of transformers' own, by which a template may tell the assistant's part from the rest."""


class Templated:
    """A tokenizer's part that writes conversations.

    Attributes:
        chat_template: The template's source, if there is one.
        names: Variables of the template: what a tokenizer calls its own tokens.
    """

    chat_template: str | None
    names: Mapping[str, str] = {}

    def get_chat_template(self) -> str:
        """The template's source."""
        assert self.chat_template is not None, "asked before"
        return self.chat_template

    def apply_chat_template(
        self, messages: list[dict[str, Any]], *, tokenize: bool, **options: Any
    ) -> str:
        """A conversation as text; the options are those of `apply`."""
        assert not tokenize
        return apply(self.get_chat_template(), messages, **{**self.names, **options})


def apply(
    template: str,
    messages: list[dict[str, Any]],
    *,
    add_generation_prompt: bool = False,
    continue_final_message: bool = False,
    **variables: Any,
) -> str:
    """A conversation as text.

    Args:
        template: The program.
        messages: A conversation.
        add_generation_prompt: End with what begins the assistant's answer.
        continue_final_message: End in the middle of the last message, which is to go on.
        **variables: Further variables of the template.

    Raises:
        ValueError: The last message is to go on and the template leaves it out.
        Exception: Whatever the template raises.
    """
    if continue_final_message:  # behind a space, which a template that trims will take away
        *before, last = messages
        messages = [*before, last | {"content": _marked(last["content"])}]
    program = _environment().from_string(GENERATION_TAG.sub("", template))
    usual = {"tools": None, "documents": None, "add_generation_prompt": add_generation_prompt}
    text = program.render(messages=messages, **usual | variables)
    if not continue_final_message:
        return text
    text, found, after = text.rpartition(END)
    if not found:
        raise ValueError("the last message is to go on, and the template leaves its end out")
    return text if after.startswith(" ") else text.rstrip()


def _marked(content: Any) -> Any:
    """Text, or a list of parts whose last one is text, with a mark where it ends."""
    if isinstance(content, str):
        return f"{content}{END} "
    *before, last = content
    return [*before, last | {"text": _marked(last["text"])}]


def _environment() -> Any:
    """The sandbox, with what templates may take for granted."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, **options: Any) -> str:
        options = {"ensure_ascii": False} | options
        return json.dumps(value, **options)

    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    sandbox.globals["raise_exception"] = refuse
    sandbox.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    sandbox.filters["tojson"] = to_json
    return sandbox
