"""Exercises of lesson 05, prefix caching: tell prefixes apart, and know what will be found."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from nanovllm_edu.core.events import PrefixHit
from nanovllm_edu.core.memory.block_hash import block_hash as shipped_hash
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.lessons.checks import (
    checksum_engine,
    finish,
    generated,
    greedy,
    require,
    require_equal,
    whole_number,
)
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.runners.checksum import expected_tokens

# --------------------------------------------------------------------------- 05.1 the hash

BlockHash = Callable[[int | None, Sequence[int]], int]

SHARED = [1, 2, 3, 4, 5, 6, 7, 8]
PREFIXED = ([*SHARED, 9], [*SHARED, 10, 11], [9, 9, 9, 9, *SHARED[4:], 12], [*SHARED[:4], 40])
"""Prompts, and for each after the first one, how many tokens a good hash lets it find."""
FINDABLE = (0, 8, 0, 4)


def _check_block_hash(answer: BlockHash, random: Random) -> str:
    def block_hash(parent: int | None, token_ids: Sequence[int]) -> int:
        return whole_number(answer(parent, token_ids), "A hash")

    first = block_hash(None, (1, 2, 3, 4))
    require_equal(block_hash(None, (1, 2, 3, 4)), first, "The hash of the same block")
    _require_different(block_hash, (None, (1, 2, 3, 4)), (None, (1, 2, 3, 5)), "the last token")
    _require_different(block_hash, (None, (1, 2, 3, 4)), (None, (4, 3, 2, 1)), "the order")
    _require_different(block_hash, (first, (5, 6, 7, 8)), (first + 1, (5, 6, 7, 8)), "the parent")
    _require_different(block_hash, (None, (5, 6, 7, 8)), (first, (5, 6, 7, 8)), "the parent")
    _check_symmetry(block_hash, (1, 2, 3, 4), (5, 6, 7, 8))
    for _ in range(40):
        _check_fresh(block_hash, random)
    engine = checksum_engine(num_blocks=24, block_size=4)
    engine.scheduler.block_manager = BlockManager(24, 4, hash_function=block_hash)
    for seq_id, prompt in enumerate(PREFIXED):
        hits, tokens = _serve(engine, prompt)
        require(
            hits == FINDABLE[seq_id],
            f"In the engine, prompt {prompt} found {hits} cached tokens with your hash; "
            f"{FINDABLE[seq_id]} are there.",
        )
        require_equal(tokens, expected_tokens(list(prompt), greedy(3), 0), "The output")
    return "Equal prefixes were found, different ones told apart, and every output is right."


def _check_symmetry(block_hash: BlockHash, one: Sequence[int], other: Sequence[int]) -> None:
    """Two blocks in a chain must not change places, nor cancel each other."""
    forth = block_hash(block_hash(None, one), other)
    back = block_hash(block_hash(None, other), one)
    require(
        forth != back,
        f"The blocks {list(one)} and then {list(other)} got the same hash as {list(other)} and "
        f"then {list(one)}, {forth}. Parent and tokens must not be mixed in a way that lets them "
        "change places, as + and ^ do.",
    )
    thrice = block_hash(block_hash(block_hash(None, one), one), one)
    require(
        thrice != block_hash(None, one),
        f"The block {list(one)} three times in a row has the hash of that block once: what the "
        "second one added, the third one took away, as ^ does.",
    )


def _check_fresh(block_hash: BlockHash, random: Random) -> None:
    """Blocks of another size, and parents as a real chain has them."""
    tokens = random.sample(range(10, 2000), random.choice((2, 4, 8, 16)))
    one, other = random.sample(range(len(tokens)), 2)
    swapped = [*tokens]
    swapped[one], swapped[other] = tokens[other], tokens[one]
    parent = block_hash(None, random.sample(range(10, 2000), 4))
    _require_different(block_hash, (parent, tokens), (parent, swapped), "the order")
    changed = [*tokens]
    changed[random.randrange(len(tokens))] += random.choice((-1, 1, 256, 2048))
    _require_different(block_hash, (parent, tokens), (parent, changed), "one token")
    _require_different(block_hash, (parent, tokens), (None, tokens), "the parent")
    _check_symmetry(block_hash, tokens, swapped)
    _check_mixing(block_hash, random, tokens)


MULTIPLIERS = (2, 3, 7, 10, 31, 33, 100, 131, 256, 257, 1000, 1024, 65_536, 100_003)
"""What one multiplies with before the next token is added."""


def _check_mixing(block_hash: BlockHash, random: Random, tokens: Sequence[int]) -> None:
    """Numbers that are put together must not make up for one another."""
    head, tail = random.sample(range(1, 10), 2)
    joined = [*tokens[:-2], head, 10 * tail + head], [*tokens[:-2], 10 * head + tail, head]
    _require_different(block_hash, (None, joined[0]), (None, joined[1]), "where a number ends")
    one, other = (head, [10 * tail + head, *tokens]), (10 * head + tail, [head, *tokens])
    _require_different(block_hash, one, other, "where a number ends")
    for multiplier in MULTIPLIERS:
        made_up = [*tokens]
        made_up[-2], made_up[-1] = tokens[-2] - 1, tokens[-1] + multiplier
        _require_different(block_hash, (None, tokens), (None, made_up), "two tokens")


def _require_different(block_hash: BlockHash, one: Any, other: Any, what: str) -> None:
    if block_hash(*one) == block_hash(*other):
        reason = {
            "the parent": "Equal tokens after different prefixes have different keys and values.",
            "the order": "Keys and values depend on the position of each token.",
            "the last token": "Every token of the block counts.",
            "one token": "Every token of the block counts.",
            "where a number ends": "Digits that are only put one behind the other say 1, 23 and "
            "12, 3 in the same way.",
            "two tokens": "What one token has more must not make up for what another has less.",
        }[what]
        require(
            False,
            f"Blocks {list(one[1])} after parent {one[0]} and {list(other[1])} after parent "
            f"{other[0]} differ in {what} and got the same hash. {reason}",
        )


def _serve(engine: LLMEngine, prompt: Sequence[int]) -> tuple[int, list[int]]:
    """(cached tokens found, tokens generated) of one request."""
    seq_id = engine.add_request(list(prompt), greedy(3))
    records = finish(engine)
    hits = [e.num_tokens for r in records for e in r.events if isinstance(e, PrefixHit)]
    return hits[0], generated(records)[seq_id]


BLOCK_HASH = Exercise(
    "05.1",
    "A hash for a block",
    "block_hash",
    "medium",
    (
        "What do the keys and values in a block depend on? All of that must go into the hash.",
        "On the block's tokens in order, and on everything in front of it. The parent's hash "
        "stands for everything in front.",
        "content = repr((parent, list(token_ids))).encode(); return int.from_bytes("
        "hashlib.sha256(content).digest()[:8], 'big'). A hash for tables, such as Python's hash(), "
        "can be made to collide by whoever sends prompts; this one cannot.",
    ),
    _check_block_hash,
    (shipped_hash,),
)


# ------------------------------------------------------------------- 05.2 what will be found

CASES = (
    (list(range(10)), list(range(10)), 4),
    (list(range(8)), list(range(10)), 4),
    ([*range(6), 77, 78], list(range(10)), 4),
    ([*range(8), 77, 78, 79, 80], list(range(10)), 4),
    (list(range(16)), list(range(10)), 4),
    ([99, *range(1, 10)], list(range(10)), 4),
    ([*range(4), 50, 51, 52, 53, *range(8, 12), 60], list(range(12)), 4),
    (list(range(5)), list(range(5)), 1),
)
"""(prompt, tokens already in the cache, block size)"""


def _check_num_found(num_found: Callable[[list[int], list[int], int], Any], random: Random) -> str:
    for prompt, cached, block_size in (*CASES, *(_random_case(random) for _ in range(12))):
        want = _measured(prompt, cached, block_size)
        got = num_found(list(prompt), list(cached), block_size)
        got = whole_number(got, "The number of cached tokens")
        require(
            got == want,
            f"With {cached} cached in blocks of {block_size}, the engine found {want} tokens of "
            f"{prompt}; you gave {got}.{_why_found(got, prompt, cached, block_size)}",
        )
    return f"As the engine found it in all {len(CASES)} cases, and in 12 random ones."


def _random_case(random: Random) -> tuple[list[int], list[int], int]:
    """Two texts with a common beginning, and sometimes a common block behind it."""
    cached = [random.randrange(100) for _ in range(random.randint(1, 24))]
    prompt = [*cached[: random.randint(0, 24)], *random.choices(range(100), k=random.randint(1, 6))]
    if random.random() < 0.5:
        prompt[random.randrange(len(prompt))] = 777
    return prompt, cached, random.choice((1, 2, 4, 8))


def _measured(prompt: list[int], cached: list[int], block_size: int) -> int:
    """Puts `cached` into a real engine's cache, then asks it for `prompt`."""
    engine = checksum_engine(num_blocks=64 // block_size, block_size=block_size)
    engine.add_request(list(cached), greedy(1))
    finish(engine)
    return _serve(engine, prompt)[0]


def _why_found(got: int, prompt: list[int], cached: list[int], block_size: int) -> str:
    common = next(
        (i for i, pair in enumerate(zip(prompt, cached, strict=False)) if pair[0] != pair[1]),
        min(len(prompt), len(cached)),
    )
    if got % block_size:
        return " Only full blocks can be found."
    if got == len(prompt) and common == len(prompt):
        return (
            " The prompt's last token is always computed: the logits of the next token come out "
            "of it. So the block that holds it is not part of a match."
        )
    if got > common:
        return " The match ends at the first block that differs; what follows has another prefix."
    if got == (common - 1) // block_size * block_size:
        return " The last token of the *prompt* must be computed, not the last common one."
    return ""


NUM_FOUND = Exercise(
    "05.2",
    "How much will be found?",
    "num_found",
    "medium",
    (
        "Compare block by block from the start, and stop at the first one that is not equal.",
        "Only full blocks of both count, and of the prompt only blocks before the one that holds "
        "its last token: (len(prompt) - 1) // block_size of them.",
        "limit = min((len(prompt) - 1) // block_size, len(cached) // block_size); count leading "
        "blocks i < limit with prompt[i*bs:(i+1)*bs] == cached[i*bs:(i+1)*bs]; times block_size.",
    ),
    _check_num_found,
)

EXERCISES = (BLOCK_HASH, NUM_FOUND)
