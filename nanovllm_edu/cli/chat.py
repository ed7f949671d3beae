"""`nanovllm-edu chat`: a conversation in the terminal.

Each turn sends the whole conversation; prefix caching finds what was computed before, and the line
under each answer says how much.
"""

import argparse
import re
import sys
from contextlib import suppress

from nanovllm_edu.cli.make_llm import make_llm, sampling_params
from nanovllm_edu.cli.terminal import printable
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import RequestError
from nanovllm_edu.llm import LLM
from nanovllm_edu.requests import Requests
from nanovllm_edu.tokenizer import Message

HELP = """\
Write a message; every answer is followed by how much of the conversation was found in the cache.
  /reset   starts a new conversation
  /help    says this again
  /quit    ends, as Ctrl-D does
"""


def run(arguments: argparse.Namespace) -> None:
    """Reads messages until the input ends."""
    params = sampling_params(arguments)
    opening: list[Message] = []
    if arguments.system:
        opening.append({"role": "system", "content": arguments.system})
    with make_llm(arguments) as llm:
        sys.stdout.write(HELP)
        messages = list(opening)
        while (text := _read()) is not None:
            if text == "/reset":
                messages = list(opening)
            elif text == "/help":
                sys.stdout.write(HELP)
            elif re.fullmatch(r"/[a-z]+", text):
                sys.stdout.write(f"There is no {text}.\n{HELP}")
            elif text:
                _take_turn(llm, messages, text, params)


def _read() -> str | None:
    """The next message; None at the end."""
    with suppress(EOFError):
        text = input("you> " if sys.stdin.isatty() else "").strip()
        return None if text == "/quit" else text
    return None


def _take_turn(llm: LLM, messages: list[Message], text: str, params: SamplingParams) -> None:
    """Adds a message and its answer to the conversation; an error leaves it as it was."""
    asked: list[Message] = [*messages, {"role": "user", "content": text}]
    try:
        prompt = llm.tokenizer.chat_prompt(asked)
        answer, num_cached = _answer(llm, prompt, params)
    except RequestError as error:
        sys.stderr.write(f"error: {error} Or say /reset.\n")
        return
    messages[:] = [*asked, {"role": "assistant", "content": answer}]
    sys.stdout.write(f"({num_cached} of {len(prompt)} prompt tokens were cached)\n")


def _answer(llm: LLM, prompt: list[int], params: SamplingParams) -> tuple[str, int]:
    """Writes the answer as it is made; returns it, and how much of the prompt was cached."""
    with Requests(llm.engine) as requests:
        llm.add(requests, prompt, params)
        while not requests.are_finished:
            requests.advance()
            for piece in requests.read():
                sys.stdout.write(printable(piece.text))
                sys.stdout.flush()
        output = requests.outputs()[0]
    sys.stdout.write("\n")
    return output.text, output.num_cached_tokens
