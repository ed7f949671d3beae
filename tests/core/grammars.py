"""A grammar without a parser: its rule is one line, which a test can repeat."""

from collections.abc import Sequence

LONGEST = 7


def toy_tokens(output: Sequence[int], vocab_size: int, eos: frozenset[int]) -> set[int]:
    """What may follow these tokens: two of three, and an end behind every second token."""
    allowed = {i for i in range(vocab_size) if (i + sum(output)) % 3} - eos
    return allowed | (eos if output and len(output) % 2 == 0 else set())


def toy_mask(output: Sequence[int], vocab_size: int, eos: frozenset[int]) -> bytes:
    """The same as bits, with a few more of them than there are tokens."""
    bits = sum(1 << i for i in toy_tokens(output, vocab_size, eos))
    return bits.to_bytes(vocab_size // 8 + 2, "little")


class ToyGrammar:
    """Knows its tokens so far. It is over behind an end, and after `LONGEST` tokens."""

    def __init__(self, vocab_size: int, eos: frozenset[int] = frozenset()) -> None:
        self.vocab_size, self.eos, self.tokens = vocab_size, eos, list[int]()

    @property
    def is_complete(self) -> bool:
        return len(self.tokens) >= LONGEST or bool(self.eos.intersection(self.tokens[-1:]))

    def masks(self, drafted: Sequence[int] = ()) -> tuple[bytes, ...]:
        tokens = [*self.tokens, *drafted]
        ends = range(len(self.tokens), len(tokens) + 1)
        return tuple(toy_mask(tokens[:end], self.vocab_size, self.eos) for end in ends)

    def num_allowed(self, token_ids: Sequence[int]) -> int:
        twin = ToyGrammar(self.vocab_size, self.eos)
        twin.tokens = [*self.tokens]
        return twin.accept(token_ids)

    def accept(self, token_ids: Sequence[int]) -> int:
        for count, token_id in enumerate(token_ids):
            allowed = toy_tokens(self.tokens, self.vocab_size, self.eos)
            if self.is_complete or token_id not in allowed:
                return count
            self.tokens.append(token_id)
        return len(token_ids)
