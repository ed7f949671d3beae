"""Exercises of lesson 13, the bug hunt: mend one method of each of the eight broken engines.

An answer is tried on the case's own requests, then on all cases and on random requests, with every
token compared and the books audited after every step. A cure that costs cache hits is no cure.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from nanovllm_edu.lessons.cases import Case, case
from nanovllm_edu.lessons.checks import require
from nanovllm_edu.lessons.detective import (
    NUM_FRESH_RUNS,
    NUM_RANDOM_RUNS,
    prove,
)
from nanovllm_edu.lessons.exercise import Exercise, NothingReturned

GIVES_NOTHING = ("add_ref",)
"""Methods that change something and return nothing; the others return what was asked for."""

CALLS_ITS_BASE = (5, 8)
"""Cases whose cure is to leave the method of the base class alone."""


def _check(number: int) -> Callable[[Any, Random], str]:
    """The check of one case."""

    def check(function: Any, random: Random) -> str:
        require(
            function is not _shipped(case(number)),
            "That is the shipped method itself. Write the mended one.",
        )
        has_given = case(number).method in GIVES_NOTHING

        def watched(*arguments: Any) -> Any:
            nonlocal has_given
            given = function(*arguments)
            has_given |= given is not None
            return given

        proof = prove(case(number), watched, random)
        if not has_given:
            raise NothingReturned
        require(
            proof.own is None,
            f"The symptom of case {number} is not gone, or there is a new one: {proof.own}.",
        )
        require(
            proof.elsewhere is None,
            f"Case {number} itself is cured, but other requests are not: {proof.elsewhere}.",
        )
        if proof.lost_hits is not None:
            found, due = proof.lost_hits
            require(
                False,
                f"All tokens are right, but the cache now finds {found} tokens where the shipped "
                f"engine finds {due}. The cure must not cost hits.",
            )
        return (
            f"Case closed: it was '{case(number).name}'. Right tokens and balanced books on the "
            f"eight cases and {NUM_RANDOM_RUNS + NUM_FRESH_RUNS} random runs, and no hit lost."
        )

    return check


def _shipped(what: Case) -> Any:
    """The method that the broken class has replaced."""
    return getattr(what.broken.__mro__[1], what.method)


def _exercise(number: int, name: str, *hints: str) -> Exercise:
    first, second, third = hints
    return Exercise(
        f"13.{number}",
        f"Case {number}",
        name,
        "hard" if number in (1, 5) else "medium",
        (first, second, third),
        _check(number),
        () if number in CALLS_ITS_BASE else (_shipped(case(number)),),
    )


EXERCISES = (
    _exercise(
        1,
        "reclaim",
        "The block has a new owner. Who can still find its old content, and how?",
        "Two books know the old content: block.content says what is in the block, and "
        "content.block says where the content is. A content in no block may still have others "
        "behind it: self._prune(content) forgets it only if it has none.",
        "block.content = content.block = None; self._prune(content); then return block.block_id, "
        "content as before.",
    ),
    _exercise(
        2,
        "publish",
        "A token has two moments: its value becomes known, and its KV becomes computed. Which one "
        "comes first for the newest token?",
        "A block may be found only when all its tokens are known *and* computed. The sequence "
        "counts both: len(seq.token_ids) and seq.num_computed_tokens.",
        "num_tokens = min(seq.num_computed_tokens, len(seq.token_ids)); the rest stays.",
    ),
    _exercise(
        3,
        "num_matchable_blocks",
        "If every token of the prompt is cached, which token goes through the model in this step?",
        "The logits of the next token come out of the last one. So the last token must never be "
        "part of a match.",
        "Count the full blocks in front of the last token: (len(seq.token_ids) - 1) // "
        "self.block_size",
    ),
    _exercise(
        4,
        "sample",
        "A span is tokens [start, end). How many keys does its last token attend to?",
        "What came before the span is in the cache, and is read through the block table.",
        "num_keys = span.end, for every span.",
    ),
    _exercise(
        5,
        "match_prefix",
        "The sequence lost its blocks when it was preempted. How many of its tokens are in the "
        "blocks that the match gives it?",
        "num_tokens of a match must be exactly what its blocks hold. What was computed before the "
        "preemption is gone.",
        "return BlockManager.match_prefix(self, seq), and nothing else.",
    ),
    _exercise(
        6,
        "add_ref",
        "Two sequences use a block, and one of them finishes. What happens to the block?",
        "ref_count is the number of users. Somebody who shares the block is one user more.",
        "block.ref_count += 1 instead of = 1.",
    ),
    _exercise(
        7,
        "hash_of",
        "The same four tokens stand behind two different beginnings. Are their keys and values "
        "equal?",
        "The hash of a block must contain the hash of the block before it: "
        "block_hash(parent, tokens). The first block has parent None.",
        "In the loop: parent = lease.hashes[-1] if lease.hashes else None; "
        "lease.hashes.append(block_hash(parent, token_ids)).",
    ),
    _exercise(
        8,
        "plan",
        "One sequence finds a block that another one computes in the same step. In which order "
        "must the two be in the batch?",
        "The scheduler appends spans in the order in which it decided them, and a block can be "
        "found only after it was decided who writes it.",
        "Leave plan.spans alone: return Scheduler.plan(self)",
    ),
)
