"""`Grammar`: which tokens may come next, so that an answer has the form that was asked for.

    schema, expression, choices or grammar
        ──► a parser over bytes, made once (`Grammars`)
        ──► one copy for each sequence (`Grammar`), moved on by the tokens that are settled
        ──► for each position a mask: one bit for each token of the vocabulary

llguidance has the parser; it walks the vocabulary as a tree of bytes, so that a token may begin in
one word of the grammar and end in another. What is here gives it the engine's points of time:

    plan     masks of the newest position, and of each guess behind it, on a copy
    commit   the settled tokens move the parser on

So a mask is always that of the tokens in front of its position. A mask that was made before the
newest token was known would be that of the position before, and let through what the grammar
forbids: that is why a sequence with a grammar is not planned ahead of its own token
(`core/schedule/step_builder.py`).

Source: token masks by a parser as in Willard and Louf, 2023 (arXiv:2307.09702).
Read next: `intake.py`, which makes them; `sampling/edits.py`, which applies the masks.
"""

import json
from collections import OrderedDict
from collections.abc import Collection, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from threading import BoundedSemaphore, Lock
from typing import Any, Self

from nanovllm_edu.core.request.structured_outputs import StructuredOutputsParams
from nanovllm_edu.deep_stack import start_deeply
from nanovllm_edu.errors import MissingPackageError, RequestError, shown

NUM_KEPT = 64
"""So many compiled grammars are remembered: requests often share one."""

MAX_SECONDS = 5.0
"""So long a request waits for its grammar to be compiled: most take milliseconds."""

NUM_AT_ONCE = 2
"""So many grammars are compiled side by side, those included that nobody waits for any more."""

JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As `json.dumps` writes. Free white space is a trap: a small model may fill its answer with it."""


class Grammar:
    """The parser of one sequence.

    Args:
        matcher: Of llguidance, behind the tokens so far. It never raises: after an error it allows
            nothing, and the sequence ends by the next token.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    @property
    def is_complete(self) -> bool:
        """Whether nothing but the end can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def masks(self, drafted: Sequence[int] = ()) -> tuple[bytes, ...]:
        """The mask of the next position, and of the one behind each guess.

        Args:
            drafted: Guesses for the next positions, all of them allowed.
        """
        matcher = self._matcher.deep_copy() if drafted else self._matcher
        masks = [matcher.compute_bitmask()]
        for token_id in drafted:
            matcher.consume_token(token_id)
            masks.append(matcher.compute_bitmask())
        return tuple(masks)

    def can_begin(self, allowed: Collection[int] | None, forbidden: Collection[int]) -> bool:
        """Whether any token may come next.

        Args:
            allowed: Which ones other options allow; None: all.
            forbidden: Which ones they forbid.
        """
        mask = self._matcher.compute_bitmask()

        def num_of(token_ids: Collection[int]) -> int:
            return sum(mask[i // 8] >> i % 8 & 1 for i in token_ids)

        if allowed is not None:
            return num_of({*allowed} - {*forbidden}) > 0
        return int.from_bytes(mask, "little").bit_count() > num_of({*forbidden})

    def num_allowed(self, token_ids: Sequence[int]) -> int:
        """How many of these tokens, from the first on, may come next."""
        return self._matcher.validate_tokens(list(token_ids))

    def accept(self, token_ids: Sequence[int]) -> int:
        """Moves on by these tokens up to the first that may not come; returns how many."""
        return self._matcher.try_consume_tokens(list(token_ids))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(self._matcher.deep_copy())


class Grammars:
    """Compiles what requests ask for.

    Args:
        tokenizer: Of the model; anything without `to_json` is refused when a grammar is asked for.
        vocab_size: A mask has as many bits, rounded up.
        eos_token_ids: Tokens that are allowed where the grammar may end, and nowhere else.
    """

    def __init__(self, tokenizer: Any, vocab_size: int, eos_token_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._eos_token_ids = sorted(eos_token_ids)
        self._vocabulary: Any = None
        self._vocabulary_lock = Lock()
        self._lock = Lock()
        self._compiled: OrderedDict[StructuredOutputsParams, Future[Any]] = OrderedDict()
        self._room = BoundedSemaphore(NUM_AT_ONCE)

    def of(self, wanted: StructuredOutputsParams) -> Grammar:
        """A grammar in front of the first token; waits while it is compiled.

        Raises:
            RequestError: No answer can have this form, it cannot be read, or compiling it takes
                longer than `MAX_SECONDS`.
            MissingPackageError: llguidance is not installed.
        """
        compiled = self._start(wanted)
        try:
            return Grammar(compiled.result(MAX_SECONDS).deep_copy())
        except (TimeoutError, CancelledError):
            compiled.cancel()  # if it has not begun; else whoever asks later may find it done
            raise RequestError(
                f"structured_outputs={shown(wanted.to_dict())} was not compiled within "
                f"{MAX_SECONDS:g} s; make it smaller (fewer properties or rules), or, if other "
                "grammars are being compiled, try again."
            ) from None

    def is_ready(self, wanted: StructuredOutputsParams) -> bool:
        """Whether `of` waits for nothing."""
        with self._lock:
            found = self._compiled.get(wanted)
            return found is not None and found.done() and not _has_failed(found)

    def _start(self, wanted: StructuredOutputsParams) -> Future[Any]:
        """Who is compiled, is being compiled, or begins to be; what has failed begins anew."""
        with self._lock:
            found = self._compiled.pop(wanted, None)
            if found is None or _has_failed(found):
                # It recurses: thousands of rules, each of the next, would end the process.
                compile_it = partial(self._compile, _llguidance(), wanted)
                found = start_deeply(compile_it, self._room)
            self._compiled[wanted] = found  # the newest; the one that was longest idle goes
            while len(self._compiled) > NUM_KEPT:
                self._compiled.popitem(last=False)
            return found

    def _compile(self, llguidance: Any, wanted: StructuredOutputsParams) -> Any:
        try:
            text = _grammar_text(llguidance, wanted)
        except ValueError as error:
            raise _impossible(wanted, str(error)) from error
        matcher = llguidance.LLMatcher(self._vocabulary_of(llguidance), text, log_level=0)
        if not matcher.is_error():
            matcher.compute_bitmask()  # finds out whether anything at all can be said
        if matcher.is_error():
            raise _impossible(wanted, matcher.get_error())
        return matcher

    def _vocabulary_of(self, llguidance: Any) -> Any:
        """All tokens as bytes; read once, which takes a tenth of a second or more."""
        with self._vocabulary_lock:
            if self._vocabulary is None:
                described = getattr(self._tokenizer, "to_json", lambda: None)()
                if described is None:
                    raise RequestError(
                        "structured_outputs need a model with a fast tokenizer of Hugging Face, "
                        f"whose tokens have bytes; this one is {shown(self._tokenizer)}."
                    )
                self._vocabulary = llguidance.LLTokenizer(
                    described, n_vocab=self._vocab_size, eos_token=self._eos_token_ids or None
                )
            return self._vocabulary


def _has_failed(compiled: Future[Any]) -> bool:
    return compiled.cancelled() or (compiled.done() and compiled.exception() is not None)


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingPackageError(
            "structured_outputs need llguidance, which is not installed; "
            "`pip install 'nanovllm-edu[grammar]'`."
        ) from error
    return llguidance


def _grammar_text(llguidance: Any, wanted: StructuredOutputsParams) -> str:
    """What was asked for, in the notation that llguidance reads."""
    if wanted.json is not None:
        return llguidance.LLMatcher.grammar_from_json_schema(wanted.json, overrides=JSON_STYLE)
    if wanted.json_object:
        return llguidance.LLMatcher.grammar_from_json_schema(
            '{"type": "object"}', overrides=JSON_STYLE
        )
    if wanted.regex is not None:
        return llguidance.grammar_from("regex", wanted.regex)
    if wanted.choice is not None:
        # One terminal of many texts is compiled in no time; as many rules of one text are not.
        texts = " | ".join(json.dumps(text, ensure_ascii=False) for text in wanted.choice)
        return llguidance.grammar_from("grammar", f"start: CHOICE\nCHOICE: {texts}")
    return llguidance.grammar_from("grammar", wanted.grammar)


def _impossible(wanted: StructuredOutputsParams, why: str) -> RequestError:
    lines = [line.strip() for line in why.strip().partition("<state>")[0].splitlines()]
    reason = " ".join(filter(None, lines)) or "nothing can be said in it"
    return RequestError(
        f"structured_outputs={shown(wanted.to_dict())} cannot be met: {reason:.300}; change it."
    )
