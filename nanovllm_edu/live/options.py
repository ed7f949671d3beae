"""The options of a page's engine: a few numbers and choices, each bounded, by plain names.

It knows nothing of pages or links. Read next: `config.py`, which has all options;
`live/scenario.py`.
"""

from collections.abc import Mapping
from typing import Any

from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.schedule.ngram_proposer import NgramProposer
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.errors import ConfigError, broken_text, shown, unknown_option

POLICIES = {"mixed": MixedPolicy, "phase-separated": PhaseSeparatedPolicy}
EVICTIONS = {"lru": LRU, "fifo": FIFO}

NUMBERS = {
    "block_size": (8, 1, 64),
    "num_blocks": (24, 4, 256),
    "max_num_batched_tokens": (64, 8, 1024),
    "max_num_seqs": (8, 1, 16),
}
"""Option -> its default, its least and its largest value."""
CHOICES = {
    "policy": ("mixed", "phase-separated"),
    "eviction": ("lru", "fifo"),
    "prefix_cache": ("hash", "radix", "off"),
    "speculation": ("off", "ngram"),
}
"""Option -> its values, the default first."""
FIELDS = {
    "eviction": ("eviction_policy",),
    "prefix_cache": ("enable_prefix_caching", "prefix_cache"),
    "speculation": ("draft_proposer",),
}
"""Option -> the fields of `EngineConfig` that it stands for, unless it has the field's name."""
DEFAULTS: dict[str, Any] = {name: default for name, (default, _, _) in NUMBERS.items()} | {
    name: values[0] for name, values in CHOICES.items()
}


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a form or a link gives them, as the values that are kept.

    Raises:
        ConfigError: They are no options, or one is unknown or out of range.
    """
    if not isinstance(options, Mapping):
        raise ConfigError(f"options={shown(options)} is not an object of names and values.")
    return {name: _checked(name, value) for name, value in options.items()}


def _checked(name: str, value: Any) -> Any:
    if name in NUMBERS:
        _, least, largest = NUMBERS[name]
        return whole_number(str(value), name, least, largest)
    if name not in CHOICES:
        raise unknown_option(name, value, DEFAULTS)
    if value not in CHOICES[name]:
        raise ConfigError(f"{name}={shown(value)} is not one of {', '.join(CHOICES[name])}.")
    return value


def engine_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """A scenario's options as fields of `EngineConfig`."""
    cache = options["prefix_cache"]
    return {
        **{name: options[name] for name in NUMBERS},
        "policy": POLICIES[options["policy"]](),
        "eviction_policy": EVICTIONS[options["eviction"]],
        "enable_prefix_caching": cache != "off",
        "prefix_cache": "hash" if cache == "off" else cache,
        "draft_proposer": NgramProposer() if options["speculation"] == "ngram" else None,
    }


def changed_fields(options: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What changed options change in `EngineConfig`."""
    fields = engine_options({**options, **changes})
    names = [field for name in changes for field in FIELDS.get(name, (name,))]
    return {name: fields[name] for name in names}


def checked_text(value: Any, name: str) -> str:
    """A text as a page gives it.

    Raises:
        ConfigError: It is none.
        RequestError: It holds half of a character.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name}={shown(value)} is not a text.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise broken_text(error, name) from None
    return value


def whole_number(text: str, name: str, least: int, largest: int) -> int:
    """A number as it was typed.

    Raises:
        ConfigError: It is none, or out of range.
    """
    is_number = len(text) < 7 and text.isascii() and text.isdecimal()
    if not is_number or not least <= int(text) <= largest:
        raise ConfigError(f"{name}: {shown(text)} is not a whole number from {least} to {largest}.")
    return int(text)
