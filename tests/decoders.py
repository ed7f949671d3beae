"""Small tokenizers that decode in the manner of every large family, for tests of text.

Each has a few ordinary tokens, special ones, and, where the family has them, tokens that are single
bytes, valid and not.
"""

import functools

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from nanovllm_edu.tokenizer import Tokenizer

SPECIAL = ["<s>", "</s>", "<|im_end|>"]


def tokenizer_of(tokens: list[str], decoder: decoders.Decoder) -> Tokenizer:
    """A tokenizer with these tokens, then the special ones."""
    vocab = {token: index for index, token in enumerate(tokens)}
    backend = Backend(models.WordLevel(vocab, unk_token=tokens[0]))
    backend.add_special_tokens(SPECIAL)
    backend.decoder = decoder
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>"))


def _letters(data: bytes) -> str:
    """Bytes as a byte-level vocabulary writes them."""
    alphabet = set(ByteLevel.alphabet())
    others = sorted(letter for letter in alphabet if ord(letter) > 255)
    unprintable = [byte for byte in range(256) if chr(byte) not in alphabet]
    letters = dict(zip(unprintable, others, strict=True))
    return "".join(letters.get(byte, chr(byte)) for byte in data)


@functools.cache
def byte_level() -> Tokenizer:
    """GPT-2, Llama 3, Qwen: tokens that are one to three bytes, cut anywhere."""
    euro, smile = "€".encode(), "🙂".encode()
    pieces = [b"unk", b"a", b" b", b"<|", b"im", b"_end", b"|>", b".", b"\n", b" ", b"END"]
    pieces += [euro[:1], euro[1:], euro[2:] + euro[:2], smile[:2], smile[2:], smile[1:3], b"\xff"]
    pieces += [b"\xed\xa0", b"\xc0", b"\xf4\x90", b"\xe2\x28", smile, euro + b" x"]
    return tokenizer_of([_letters(piece) for piece in pieces], decoders.ByteLevel())


_BYTES = [
    f"<0x{byte:02X}>" for byte in (*"€🙂é a".encode(), 0xFF, 0xC0, 0xED, 0xA0, 0xF4, 0x90, 0x0A)
]
_BYTES = list(dict.fromkeys(_BYTES))
_METASPACE = ["<unk>", "▁", "▁a", "▁b", "c", "▁▁", ".", "▁EN", "D", "END", "�", "▁é", "<0xZZ>"]


@functools.cache
def llama2() -> Tokenizer:
    """Llama 2 and Mistral: pieces, bytes for what is rare, and one space less in front."""
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return tokenizer_of(_METASPACE + _BYTES, decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)]))


@functools.cache
def gemma() -> Tokenizer:
    """As Llama 2, but the first space stays."""
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return tokenizer_of(_METASPACE + _BYTES, decoders.Sequence(steps))


@functools.cache
def metaspace() -> Tokenizer:
    """T5 and others trained with sentencepiece."""
    return tokenizer_of(_METASPACE, decoders.Metaspace())


@functools.cache
def word_piece() -> Tokenizer:
    """BERT and its relatives: a space in front of every token that does not continue a word."""
    tokens = ["[UNK]", "a", "b", "##c", "##", ".", "n't", "'s", "do", "END", "EN", "##D", "é"]
    return tokenizer_of(tokens, decoders.WordPiece())


@functools.cache
def word_ends() -> Tokenizer:
    """CLIP and early BPE: a mark at the end of each word becomes a space, but for the last."""
    tokens = ["<unk>", "a", "b</w>", "c", "EN", "D</w>", "END</w>", "é</w>", ".</w>"]
    return tokenizer_of(tokens, decoders.BPEDecoder())


FAMILIES = (byte_level, llama2, gemma, metaspace, word_piece, word_ends)
