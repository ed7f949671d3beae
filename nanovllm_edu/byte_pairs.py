"""Byte-level BPE in plain Python: how a text becomes tokens.

    1. special tokens   are cut out wherever they are spelt: "<|im_end|>" is one token
    2. split            a regular expression cuts the rest into words, with the space before them
    3. bytes            a word is its UTF-8, each byte written as one printable letter
    4. merge            of all pairs of neighbours the one that was learnt first becomes one piece,
                        again and again, until no pair was ever learnt; the pieces are the tokens

So every text has tokens, whatever its characters: a byte that was never merged is a token itself.

A tokenizer's expression asks whether a character is a letter or a number (`\\p{L}`, `\\p{N}`), and
Python's `re` cannot. So the text is *outlined* first, character by character, with signs that stand
for "some letter" and "some number"; the expression cuts the outline, and the text is cut where the
outline was.

It knows nothing of requests. Read next: `plain_tokenizer.py`, which reads a model's folder.

Sources: BPE for words from Sennrich et al. (2016); on bytes, from GPT-2 (Radford et al., 2019).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from itertools import pairwise
from unicodedata import category

LETTER, NUMBER, SYMBOL, SPACE = "_", "\x02", "\x01", "\t"
"""What stands in an outline for each number, and for letters, symbols and spaces beyond ASCII."""

SPACES = frozenset("\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(code) for code in range(0x2000, 0x200B)
}
"""Unicode's white space beyond ASCII."""


class BytePairs:
    """Splits text and merges bytes.

    Args:
        vocabulary: Token -> id; a token is spelt with the letters of `byte_letters`.
        merges: Pairs of pieces, in the order in which they were learnt.
        pattern: The expression that cuts a text into words.
        special: Text that is one token, and its id.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Iterable[tuple[str, str]],
        pattern: str,
        special: Mapping[str, int],
    ) -> None:
        self.vocabulary = vocabulary
        self.special = special
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        self._word = re.compile(outlined(pattern), re.ASCII)
        # The longest first: one spelling may be the beginning of another.
        spellings = sorted(map(re.escape, special), key=len, reverse=True)
        self._special = re.compile(f"({'|'.join(spellings)})" if spellings else "(?!)")
        self._token_ids_of = lru_cache(10_000)(self._merged)  # most words come again

    def encode(self, text: str) -> list[int]:
        """Text to token ids."""
        token_ids: list[int] = []
        for part in self._special.split(text):
            if part in self.special:
                token_ids.append(self.special[part])
            else:
                for word in self._words(part):
                    token_ids += self._token_ids_of(word)
        return token_ids

    def _words(self, text: str) -> Iterator[str]:
        """The words of a text, and whatever the expression leaves between them."""
        end = 0
        for found in self._word.finditer(outline(text)):
            for begin, until in ((end, found.start()), found.span()):
                if begin < until:
                    yield text[begin:until]
            end = found.end()
        if end < len(text):
            yield text[end:]

    def _merged(self, word: str) -> tuple[int, ...]:
        """The tokens of one word."""
        letters = byte_letters()
        pieces = [letters[byte] for byte in word.encode()]
        while len(pieces) > 1:
            rank, at = min(
                (self._rank.get(pair, len(self._rank)), index)
                for index, pair in enumerate(pairwise(pieces))
            )
            if rank == len(self._rank):
                break
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        return tuple(self.vocabulary[piece] for piece in pieces)


def outline(text: str) -> str:
    """The text with each character replaced by what an expression must know of it."""
    return "".join(map(_kind, text))


@lru_cache(10_000)
def _kind(character: str) -> str:
    if character == "ſ":  # an s, where upper and lower case are the same
        return "s"
    if character in SPACES:
        return SPACE
    group = category(character)[0]
    if group == "N":
        return NUMBER
    if character.isascii() and character not in (LETTER, NUMBER):
        return character
    return LETTER if group == "L" else SYMBOL


def outlined(pattern: str) -> str:
    """The expression for outlines, in which letters are all that `\\w` finds.

    Raises:
        ValueError: It asks for something else of a character.
    """
    rest = pattern.replace(r"\p{L}", "").replace(r"\p{N}", "")
    if unknown := re.search(r"\\[^srntS]|_|[^ -~]", rest):
        raise ValueError(f"{unknown[0]!r} in a tokenizer's expression is not read without torch")
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", NUMBER)


@cache
def byte_letters() -> list[str]:
    """The letter by which a vocabulary writes each byte.

    A byte that is a visible Latin-1 character is written as it is; the others take, in order, the
    letters from 256 on.
    """
    others = iter(range(256, 512))
    return [
        chr(byte) if chr(byte).isprintable() and byte != ord(" ") else chr(next(others))
        for byte in range(256)
    ]


def token_bytes(token: str) -> bytes:
    """The bytes that a vocabulary's token spells; an added token is in plain text."""
    letters = _letter_bytes()
    if all(letter in letters for letter in token):
        return bytes(letters[letter] for letter in token)
    return token.encode()


@cache
def _letter_bytes() -> dict[str, int]:
    """The byte that each letter writes."""
    return {letter: byte for byte, letter in enumerate(byte_letters())}
