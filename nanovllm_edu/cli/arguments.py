"""Options shared by the commands: how they are written.

Options keep the names of `EngineConfig` and `SamplingParams`. This module checks the spelling;
those two check the values. Read next: `main.py`; `make_llm.py` for what the options become.
"""

import argparse
from typing import Any

from nanovllm_edu.pace import LONGEST_PAUSE

ENGINE_NUMBERS = {
    "block_size": (int, "tokens per KV block"),
    "num_blocks": (int, "KV blocks in the pool; left out: as many as fit"),
    "max_num_seqs": (int, "sequences that may run at once"),
    "max_num_batched_tokens": (int, "token budget of one step"),
    "prefill_chunk_size": (int, "tokens of prompts in a step in which somebody decodes"),
    "max_model_len": (int, "longest sequence, prompt and output"),
    "tensor_parallel_size": (int, "processes that share the model"),
    "gpu_memory_utilization": (float, "fraction of the GPU's memory to use"),
    "seed": (int, "where random numbers come from"),
}
POLICIES = ("mixed", "phase-separated", "fair")
ENGINE_WORDS = {
    "dtype": "auto, float32, bfloat16 or float16",
    "weight_dtype": "auto, or int8: weights in 8 bits, on a CPU",
    "device": "auto, cpu or cuda",
    "attention_backend": "auto, reference, sdpa, native, triton, hopper or flash",
}
SAMPLING_NUMBERS = {
    "max_tokens": (int, "generate at most this many tokens"),
    "temperature": (float, "0 always takes the likeliest token; 1 is the model's own odds"),
    "top_k": (int, "keep the k likeliest tokens; 0 keeps all"),
    "top_p": (float, "keep the likeliest tokens that reach this probability"),
    "min_p": (float, "keep tokens at least this many times as likely as the likeliest"),
    "repetition_penalty": (float, "above 1: less of what was said already"),
    "presence_penalty": (float, "subtracted once from tokens in the output"),
    "frequency_penalty": (float, "subtracted per occurrence in the output"),
}

SERVE_LIMITS = {
    "max_body_bytes": (int, "longest body of a request (default 1048576)"),
    "max_prompt_tokens": (int, "longest prompt; left out: what the engine can hold"),
    "max_choices": (int, "answers of one request, its prompts times n (default 64)"),
    "max_streams": (int, "requests that are answered at the same time (default 512)"),
    "max_watchers": (int, "pages that watch at the same time (default 8)"),
    "request_seconds": (float, "a request that takes longer is ended (default 600)"),
    "body_seconds": (float, "a body must be here after so long (default 30)"),
}

RUNNER_KEY = "NANOVLLM_RUNNER_KEY"
"""The variable that holds the key of a runner, on both sides: other users cannot see it."""

RUNNER_NUMBERS = tuple(n for n in ENGINE_NUMBERS if n not in ("prefill_chunk_size", "seed"))
"""Those that a model needs to wait for an engine."""


def add_engine_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds `--model` and the fields of `EngineConfig`."""
    group = parser.add_argument_group("engine")
    _add_model(group)
    group.add_argument(
        "--runner",
        metavar="URL",
        help="where the model is: ws://HOST:PORT of `nanovllm-edu runner`",
    )
    for name, (kind, text) in ENGINE_NUMBERS.items():
        _add(group, name, kind, text, defaults.get(name))
    for name, text in ENGINE_WORDS.items():
        _add(group, name, str, text, defaults.get(name))
    group.add_argument("--policy", choices=POLICIES, help="who goes first")
    group.add_argument("--eviction-policy", choices=("lru", "fifo"), help="which block goes first")
    group.add_argument(
        "--draft", metavar="NAME", help="guess ahead: ngram (from the text), tiny-draft, or a model"
    )
    _add(group, "draft_tokens", int, "guesses for each step", 4)
    for name, text in (
        ("prefix-caching", "share and find blocks by content"),
        ("chunked-prefill", "cut long prompts to fit a step"),
    ):
        group.add_argument(f"--no-{name}", action="store_true", help=f"do not {text}")
    group.add_argument("--enforce-eager", action="store_true", help="no CUDA graphs")


def add_runner_options(parser: argparse.ArgumentParser) -> None:
    """Adds where a model waits for its engine, and the fields of `EngineConfig` that it needs."""
    group = parser.add_argument_group("runner")
    _add_model(group)
    _add_address(group, 8001, RUNNER_KEY)
    group.add_argument(
        "--owned", action="store_true",
        help="for a program that starts this one: says the address on standard output, and ends "
        "when standard input does",
    )  # fmt: skip
    for name in RUNNER_NUMBERS:
        kind, text = ENGINE_NUMBERS[name]
        _add(group, name, kind, text, None)
    for name, text in ENGINE_WORDS.items():
        _add(group, name, str, text, None)
    group.add_argument("--enforce-eager", action="store_true", help="no CUDA graphs")


def add_sampling_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds the fields of `SamplingParams`. Greedy unless told otherwise."""
    defaults = {"temperature": 0.0, **defaults}
    group = parser.add_argument_group("sampling")
    for name, (kind, text) in SAMPLING_NUMBERS.items():
        _add(group, name, kind, text, defaults.get(name))
    group.add_argument("--stop", action="append", metavar="TEXT", help="end at this text")
    group.add_argument("--ignore-eos", action="store_true", help="go on after end of sequence")


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """Adds where a server listens, whom it answers, and how much."""
    group = parser.add_argument_group("server")
    _add_address(group, 8000, "NANOVLLM_API_KEY")
    group.add_argument("--served-model-name", metavar="NAME", help="what clients call the model")
    group.add_argument(
        "--allowed-host", action="append", metavar="NAME", help="a name that a proxy passes on"
    )
    group.add_argument(
        "--allow-origin", action="append", metavar="URL", help="a web page that may ask (CORS)"
    )
    group.add_argument(
        "--show-text", action="store_true", help="/watch shows what people and the model say"
    )
    group.add_argument(
        "--model-apart", action="store_true",
        help="the model in a process of its own: on a CPU many users are answered sooner",
    )  # fmt: skip
    group.add_argument(
        "--drain-seconds", type=float, default=30.0, metavar="S",
        help="an ending server finishes for so long what it has begun (default 30)",
    )  # fmt: skip
    group.add_argument(
        "--max-waiting", type=int, metavar="N", help="requests that may wait (default 256)"
    )
    group.add_argument(
        "--max-queue-seconds", type=float, metavar="S",
        help="a request that has not begun after so long is turned away; left out: it waits",
    )  # fmt: skip
    group.add_argument(
        "--max-pause-seconds", type=float, default=LONGEST_PAUSE, metavar="S",
        help="with many streams, tokens of each are sent together after so long (default "
        f"{LONGEST_PAUSE:g})",
    )  # fmt: skip
    group.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of an answer")
    for name, (kind, text) in SERVE_LIMITS.items():
        _add(group, name, kind, text, None)


LOAD_NUMBERS = {
    "rate": (float, "requests a second; the first rate of a sweep", 4.0),
    "seconds": (float, "users come for so long", 20.0),
    "requests": (int, "so many of them, instead of --seconds", None),
    "burst": (int, "so many come at once", 1),
    "closed": (int, "a closed loop of so many users, who wait for each other", None),
    "prompt_words": (int, "length of a prompt", 32),
    "max_tokens": (int, "longest answer", 64),
    "timeout": (float, "seconds after which a user gives up", 120.0),
    "seed": (int, "of the arrivals and the prompts", 0),
    "slo_ttft": (float, "promise: seconds to the first token", 1.0),
    "slo_tpot": (float, "promise: seconds per token behind it, in the mean", 0.1),
    "slo_e2e": (float, "promise: seconds to the last token", None),
    "slo_percent": (float, "of the requests must be served as promised", 90.0),
}


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """Adds whom to ask, how often, and what is promised."""
    group = parser.add_argument_group("load")
    group.add_argument("--url", default="http://127.0.0.1:8000/v1", help="of any OpenAI-like API")
    group.add_argument("--model", metavar="NAME", help="left out: the first that is served")
    group.add_argument("--api-key", metavar="KEY", help="or the variable NANOVLLM_API_KEY")
    group.add_argument("--chat", action="store_true", help="ask for chats, not for completions")
    group.add_argument("--body", metavar="JSON", help='more of each body: {"ignore_eos": true}')
    group.add_argument("--trace", metavar="FILE", help="arrivals from a file, one JSON a line")
    group.add_argument("--steady", action="store_true", help="equal distances; else Poisson")
    group.add_argument("--sweep", action="store_true", help="find the rate that breaks the promise")
    group.add_argument("--json", action="store_true", help="for a program to read")
    group.add_argument("--html", metavar="PATH", help="a page with the curves")
    for name, (kind, text, default) in LOAD_NUMBERS.items():
        _add(group, name, kind, text, default)


def _add_model(group: Any) -> None:
    group.add_argument(
        "--model", default="tiny", help="tiny (in the box), a model folder, or a hub name"
    )


def _add_address(group: Any, port: int, variable: str) -> None:
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    group.add_argument(
        "--port", type=int, default=port, metavar="N", help=f"0: any (default {port})"
    )
    group.add_argument(
        "--api-key", action="append", metavar="KEY", help="asked of every client; several may be"
        f" given; also read from the variable {variable}, which other users cannot see"
    )  # fmt: skip


def _add(group: Any, name: str, kind: type, text: str, default: Any) -> None:
    if default is not None:
        text += f" (default {default})"
    metavar = {int: "N", float: "X", str: "NAME"}[kind]
    option = "--" + name.replace("_", "-")
    group.add_argument(option, type=kind, default=default, metavar=metavar, help=text)
