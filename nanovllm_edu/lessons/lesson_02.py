"""Exercises of lesson 02, the KV cache: keep keys and values, and know what that costs."""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor

from nanovllm_edu.attention.reference import attend_one
from nanovllm_edu.lessons.checks import greedy, require, whole_number
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.tensors import tensor
from nanovllm_edu.llm import LLM
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.paged.kv_cache import KVCache, bytes_per_block

NUM_NEW = 8
PROMPT = tuple(range(50, 57))


@cache
def _llm() -> LLM:
    return LLM(num_blocks=8)


# ---------------------------------------------------------------------------- 02.1 the cache


def _check_cache(cache_class: Callable[[int], Any], random: Random) -> str:
    model, want = _model(), _engine_tokens()
    _check_one_layer(cache_class)
    _check_layers_apart(cache_class)
    _check_pieces(cache_class, (2, 3), seed=0)
    for _ in range(3):
        pieces = tuple(random.randint(1, 4) for _ in range(random.randint(2, 4)))
        _check_pieces(cache_class, pieces, random.randrange(2**31))
    got = generate_with(model, cache_class(model.config.num_layers), list(PROMPT), NUM_NEW)
    require(
        got == want,
        f"With your cache the model says {got}, and the engine says {want}. One layer by itself is "
        "right; what differs between a prompt of several tokens and one new token?",
    )
    num_computed = len(PROMPT) + NUM_NEW - 1
    return f"The engine's own tokens, and each of the {num_computed} tokens was computed once."


def _check_one_layer(cache_class: Callable[[int], Any]) -> None:
    """Three tokens one by one, then three at once, against the definition."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(3, 4, 8, generator=generator)
    k, v = torch.randn(2, 3, 2, 8, generator=generator)
    want = torch.stack([attend_one(q[i], k[: i + 1], v[: i + 1]) for i in range(3)])
    one_by_one = cache_class(1)
    for i in range(3):
        out = one_by_one.attend(0, q[i : i + 1], k[i : i + 1], v[i : i + 1])
        out = tensor(out, (1, 4, 8), "attend must return one row per query: for 1 token that")
        _compare(out[0], want[i], i, _mistakes(q[i], k, v, i))
    whole = cache_class(1).attend(0, q, k, v)
    whole = tensor(whole, (3, 4, 8), "attend must return one row per query: for 3 tokens that")
    later = torch.stack([attend_one(q[i], k, v) for i in range(3)])
    for i in range(3):
        _compare(whole[i], want[i], i, {"It also sees tokens that come later.": later[i]})


def _check_pieces(cache_class: Callable[[int], Any], pieces: tuple[int, ...], seed: int) -> None:
    """Several tokens at once after several others, as a chunk of a prompt comes."""
    generator = torch.Generator().manual_seed(seed)
    total, start = sum(pieces), 0
    q = torch.randn(total, 4, 8, generator=generator)
    k, v = torch.randn(2, total, 2, 8, generator=generator)
    own = cache_class(1)
    for size in pieces:
        new = slice(start, start + size)
        out = own.attend(0, q[new], k[new], v[new])
        what = f"attend must return one row per query: for {size} tokens that"
        out = tensor(out, (size, 4, 8), what)
        for i in range(size):
            want = attend_one(q[start + i], k[: start + i + 1], v[: start + i + 1])
            seen = k[: i + 1], v[: i + 1]
            text = (
                f"With {start} tokens in the cache and {size} new ones, the mask must begin behind "
                f"the {start}: yours starts to count at the first of all keys."
            )
            _compare(out[i], want, start + i, {text: attend_one(q[start + i], *seen)})
        start += size


def _mistakes(q: Any, k: Any, v: Any, i: int) -> dict[str, Any]:
    mistakes = {
        "It sees only itself: earlier keys are gone.": attend_one(q, k[i : i + 1], v[i : i + 1]),
        "Keys and values are swapped.": attend_one(q, v[: i + 1], k[: i + 1]),
    }
    if i:
        mistakes["It does not see itself: store first, then attend."] = attend_one(q, k[:i], v[:i])
    return mistakes


def _compare(got: Any, want: Any, position: int, mistakes: dict[str, Any]) -> None:
    if torch.allclose(got, want, atol=1e-5):
        return
    named = [text for text, wrong in mistakes.items() if torch.allclose(got, wrong, atol=1e-5)]
    difference = (got - want).abs().max().item()
    require(
        False,
        f"The token at position {position} must see keys [0, {position + 1}). Your output is off "
        f"by {difference:.2f}. {named[0] if named else ''}".rstrip(),
    )


def _check_layers_apart(cache_class: Callable[[int], Any]) -> None:
    own = cache_class(2)
    ones = torch.ones(1, 4, 8), torch.ones(1, 2, 8), torch.ones(1, 2, 8)
    own.attend(0, *ones)
    out = tensor(own.attend(1, ones[0], ones[1], -ones[2]), (1, 4, 8), "What attend returns")
    require(
        bool((out == -1).all()),
        "Layer 1 sees a value that layer 0 stored. Every layer has keys and values of its own.",
    )


@torch.inference_mode()
def generate_with(model: Qwen3ForCausalLM, own: Any, prompt: list[int], num_new: int) -> list[int]:
    """Prefill, then decode, with the learner's cache: each token goes through the model once."""

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return tensor(own.attend(layer, q, k, v), tuple(q.shape), "What attend returns")

    tokens, new, start = list(prompt), list[int](), 0
    for _ in range(num_new):
        positions = torch.arange(start, len(tokens))
        hidden = model(torch.tensor(tokens[start:]), positions, attend)
        new.append(int(model.logits(hidden[-1:])[0].argmax()))
        start = len(tokens)
        tokens.append(new[-1])
    return new


def _model() -> Qwen3ForCausalLM:
    return _llm().engine.runner.model  # pyright: ignore[reportAttributeAccessIssue]


def _engine_tokens() -> list[int]:
    return _llm().generate([list(PROMPT)], greedy(NUM_NEW), use_tqdm=False)[0].token_ids


MY_CACHE = Exercise(
    "02.1",
    "Your own KV cache",
    "MyCache",
    "medium",
    (
        "A list of keys and a list of values per layer. Each new token adds one entry to both.",
        "Go through the tokens one by one: append k[i] and v[i], then attend q[i] to everything "
        "stored so far. So no token sees a later one.",
        "self.keys[layer].append(k[i]); ...; out.append(attend_one(q[i], "
        "torch.stack(self.keys[layer]), torch.stack(self.values[layer]))); return "
        "torch.stack(out).",
    ),
    _check_cache,
)


# ----------------------------------------------------------------------------- 02.2 its size

SHAPES = ((5, 4, 2, 64, 4), (28, 16, 8, 128, 2), (3, 8, 8, 32, 2))
"""(layers, heads, KV heads, head_dim, bytes per number)"""


def _check_bytes(bytes_per_token: Callable[..., Any], random: Random) -> str:
    fresh = [_random_shape(random) for _ in range(3)]
    for layers, heads, kv_heads, head_dim, itemsize in (*SHAPES, *fresh):
        want = _allocated(layers, kv_heads, head_dim, itemsize)
        call = f"bytes_per_token({layers}, {heads}, {kv_heads}, {head_dim}, {itemsize})"
        got = whole_number(bytes_per_token(layers, heads, kv_heads, head_dim, itemsize), call)
        require(
            got == want,
            f"A real KVCache of this shape takes {want:,} bytes for one token; {call} gave "
            f"{got:,}.{_why_bytes(got, want, layers, heads, kv_heads, itemsize)}",
        )
    gib = 2048 * _allocated(*SHAPES[1][:1], *SHAPES[1][2:]) / 2**30
    num_caches = len(SHAPES) + len(fresh)
    return f"Right for {num_caches} real caches. 2,048 tokens of a 0.6B Qwen3: {gib:.2f} GiB."


def _random_shape(random: Random) -> tuple[int, int, int, int, int]:
    kv_heads = random.randint(1, 8)
    heads = kv_heads * random.randint(1, 4)
    head_dim = 16 * random.randint(1, 8)
    return random.randint(1, 40), heads, kv_heads, head_dim, random.choice((2, 4))


def _allocated(layers: int, kv_heads: int, head_dim: int, itemsize: int) -> int:
    """Bytes of one slot of a real cache, cross-checked with the engine's own formula."""
    dtype = torch.float32 if itemsize == 4 else torch.bfloat16
    kv_cache = KVCache.allocate(
        num_layers=layers,
        num_blocks=1,
        block_size=1,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        dtype=dtype,
        device=torch.device("cpu"),
    )
    size = kv_cache.data[:, :, :1].numel() * itemsize
    assert size == bytes_per_block(layers, 1, kv_heads, head_dim, dtype)
    return size


def _why_bytes(got: int, want: int, layers: int, heads: int, kv_heads: int, itemsize: int) -> str:
    factors = {
        want // 2: "Both a key and a value are stored.",
        want // layers: "Every layer has a cache of its own.",
        want // itemsize: "That is how many numbers, not how many bytes.",
        want * heads // kv_heads: "Query heads are not stored; only key-value heads are.",
    }
    return f" {factors[got]}" if got in factors else ""


BYTES_PER_TOKEN = Exercise(
    "02.2",
    "What one token costs",
    "bytes_per_token",
    "easy",
    (
        "Which numbers does a later token need of this one? In how many layers?",
        "A key and a value, each of num_kv_heads * head_dim numbers, in every layer.",
        "num_layers * 2 * num_kv_heads * head_dim * bytes_per_number. num_heads does not matter.",
    ),
    _check_bytes,
)

EXERCISES = (MY_CACHE, BYTES_PER_TOKEN)
