"""`NgramProposer`: what followed the last time these words were said (prompt lookup).

    ... the cat sat on the mat . The dog saw the cat
        └─ found ─┘ └── guessed ──┘           └─────┘ the last tokens

Of all places where the last `min_match` tokens stand, it takes the one whose text before them is
the longest that agrees, and of equals the newest. A text that repeats itself faster than guesses
are needed goes on in circles: the copy reads its own beginning.

It keeps nothing between calls, so preemption, aborts and forks are nothing to it. Token ids lie in
memory as 8 bytes each, and Python finds bytes at the speed of memory: looking back over the last
8,192 tokens takes a few microseconds to a few dozen.

Source: prompt lookup decoding (Saxena, 2023). Read next: `core/schedule/step_builder.py`.
"""

from array import array
from collections.abc import Iterator
from collections.abc import Sequence as Seq

from nanovllm_edu.core.request.option_checks import integer
from nanovllm_edu.core.request.sequence import TOKEN_TYPE

MAX_PLACES = 16
"""At most so many places are compared, newest first: a common pair of tokens stands everywhere."""

MAX_MATCH = 32
"""A longer agreement is as good as this one."""

_at_least_1 = integer(1, "give at least 1")


class NgramProposer:
    """Guesses by looking the last tokens up in the text before them.

    Args:
        num_tokens: Guesses for each step.
        min_match: So many last tokens must be found.
        window: Looks at no more than this many of the newest tokens.

    Raises:
        ConfigError: A number is below 1.
    """

    def __init__(self, num_tokens: int = 4, min_match: int = 2, window: int = 8192) -> None:
        self.num_tokens: int = _at_least_1("num_tokens", num_tokens)
        self.min_match: int = _at_least_1("min_match", min_match)
        self.window: int = _at_least_1("window", window)

    def propose(self, token_ids: Seq[int], num_tokens: int) -> list[int]:
        """What followed the last tokens earlier; [] if they are new."""
        text = array(TOKEN_TYPE, token_ids[-self.window :])
        best, place = 0, 0
        for end in self._places(text):
            length = _num_equal_before(text, end)
            if length > best:
                best, place = length, end
        guesses: list[int] = []
        for i in range(place, place + min(num_tokens, self.num_tokens) if best else 0):
            guesses.append(text[i] if i < len(text) else guesses[i - len(text)])
        return guesses

    def _places(self, text: "array[int]") -> Iterator[int]:
        """Where, earlier in the text, its last tokens have just been said; newest first."""
        if len(text) <= self.min_match:
            return
        width, data = text.itemsize, text.tobytes()
        pattern = data[-self.min_match * width :]
        end = len(data) - width
        for _ in range(MAX_PLACES):
            at = data.rfind(pattern, 0, end)
            if at < 0:
                return
            place, is_across = divmod(at, width)  # bytes may agree across tokens
            if not is_across:
                yield place + self.min_match
                place -= 1
            end = place * width + len(pattern)  # the next one begins there at the latest

    def __repr__(self) -> str:
        return f"NgramProposer(num_tokens={self.num_tokens}, min_match={self.min_match})"


def _num_equal_before(text: "array[int]", end: int) -> int:
    """How many tokens before `end` are the last ones of the text, up to `MAX_MATCH`."""
    length = 0
    while length < min(end, MAX_MATCH) and text[end - 1 - length] == text[-1 - length]:
        length += 1
    return length
