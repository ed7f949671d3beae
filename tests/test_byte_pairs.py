"""The plain tokenizer equals the real one on texts of all kinds; others it refuses."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from nanovllm_edu.byte_pairs import BytePairs, outline, outlined
from nanovllm_edu.errors import ModelLoadError
from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from nanovllm_edu.plain_tokenizer import PlainTokenizer
from nanovllm_edu.tokenizer import Tokenizer

CODE = (TINY_MODEL_FOLDER.parents[1] / "engine.py").read_text(encoding="utf-8")
EMOJI = (
    "😀",
    "👍🏽",
    "👩‍💻",
    "🇩🇪",
    "✓",
    "\u200d",
    "\ufe0f",
    "e\u0301",
    "ü",
    "语",
    "ß",
    "ſ",
    "½",
    "Ⅷ",
    "٣",
)
GAPS = (
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\x0b",
    "\x1c",
    "\x85",
    "\xa0",
    "\u2028",
    "\u3000",
    "'s",
    "'LL",
    "_",
)
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_", "|>", "<", "user", "a")


def any_character(random: Random) -> str:
    end = random.choice((0x80, 0x3000, 0x10000, 0x110000))
    code = random.randrange(end)
    return chr(code) if not 0xD800 <= code < 0xE000 else "x"


def pieces(*parts: str) -> Callable[[Random], str]:
    """Texts put together of these parts, with some letters between them."""
    return lambda random: "".join(
        random.choice(parts) if random.random() < 0.7 else random.choice('abs1." ')
        for _ in range(random.randrange(40))
    )


def of_code(random: Random) -> str:
    begin = random.randrange(len(CODE))
    return CODE[begin : begin + random.randrange(200)]


KINDS: dict[str, Callable[[Random], str]] = {
    "any characters": lambda random: "".join(
        any_character(random) for _ in range(random.randrange(60))
    ),
    "code": of_code,
    "emoji and marks": pieces(*EMOJI),
    "white space": pieces(*GAPS),
    "special tokens": pieces(*SPECIAL),
}


@pytest.fixture(scope="module")
def real() -> Tokenizer:
    return Tokenizer.load(TINY_MODEL_FOLDER)


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return Tokenizer(PlainTokenizer.load(TINY_MODEL_FOLDER))


@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_the_real_one_on_texts(kind: str, real: Tokenizer, plain: Tokenizer):
    for seed in range(300):
        text = KINDS[kind](Random(f"{kind} {seed}"))
        token_ids = real.encode(text)
        assert plain.encode(text) == token_ids, repr(text)
        assert plain.decode(token_ids) == real.decode(token_ids)


def test_any_tokens_become_the_same_text(real: Tokenizer, plain: Tokenizer):
    random = Random(0)
    for _ in range(200):
        token_ids = [random.randrange(len(real._tokenizer.get_vocab())) for _ in range(20)]
        for skips in (True, False):
            options = {"skip_special_tokens": skips}
            assert plain.decode(token_ids, **options) == real.decode(token_ids, **options)
        assert plain.pieces(token_ids) == real.pieces(token_ids)


def test_it_says_the_same_of_its_tokens(real: Tokenizer, plain: Tokenizer):
    assert plain.first_difference(real) is None
    assert (plain.spelling, plain.eos_token_ids) == (real.spelling, real.eos_token_ids)
    assert plain.special_token_ids == real.special_token_ids
    for token_id in range(len(real._tokenizer.get_vocab()) + 3):
        assert plain.token_bytes(token_id) == real.token_bytes(token_id)


@pytest.mark.parametrize(
    "options",
    [{}, {"add_generation_prompt": False},
     {"add_generation_prompt": False, "continue_final_message": True}],
)  # fmt: skip
def test_a_conversation_is_the_same_prompt(options: Any, real: Tokenizer, plain: Tokenizer):
    messages = [
        {"role": "user", "content": "Hi <|im_end|> there"},
        {"role": "assistant", "content": "I say "},
    ]
    assert plain.chat_prompt(messages, **options) == real.chat_prompt(messages, **options)


def test_the_pair_that_was_learnt_first_is_merged_first():
    vocabulary = {letter: i for i, letter in enumerate(["a", "b", "c", "ab", "bc", "abc"])}
    for merges, expected in (
        ([("a", "b"), ("b", "c")], [3, 2]),
        ([("b", "c"), ("a", "b")], [0, 4]),
        ([("b", "c"), ("a", "b"), ("a", "bc")], [5]),
    ):
        assert BytePairs(vocabulary, merges, r"\p{L}+", {}).encode("abc") == expected


def test_the_longest_special_token_is_found():
    special = {"<a>": 7, "<a><b>": 8}
    assert BytePairs({"x": 0}, [], r"\p{L}+", special).encode("x<a><b><a>") == [0, 8, 7]


def test_an_outline_is_as_long_as_its_text():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x30000)]))
    assert len(outline(text)) == len(text)


@pytest.mark.parametrize("pattern", [r"\p{Lu}+", r"\d+", r"\w+", "_", r"[é]", r"\x41"])
def test_an_expression_that_asks_for_more_is_refused(pattern: str):
    with pytest.raises(ValueError, match="is not read without torch"):
        outlined(pattern)


CHANGES: dict[str, Callable[[dict], Any]] = {
    "another model": lambda t: t["model"].update(type="Unigram"),
    "dropout": lambda t: t["model"].update(dropout=0.1),
    "a normalizer": lambda t: t.update(normalizer={"type": "NFC"}),
    "another decoder": lambda t: t["decoder"].update(type="Metaspace"),
    "no regular expression": lambda t: t["pre_tokenizer"]["pretokenizers"].pop(0),
    "a space in front": lambda t: t["pre_tokenizer"]["pretokenizers"][1].update(
        add_prefix_space=True
    ),
    "tokens around a text": lambda t: t["post_processor"].update(special_tokens={"<s>": {}}),
    "a token that takes spaces": lambda t: t["added_tokens"][0].update(lstrip=True),
    "no vocabulary": lambda t: t["model"].pop("vocab"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_tokenizer_of_another_kind_is_refused(change: str, tmp_path):
    tokenizer = json.loads((TINY_MODEL_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    CHANGES[change](tokenizer)
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModelLoadError, match=r"is not read without transformers.*use LLM"):
        PlainTokenizer.load(tmp_path)
