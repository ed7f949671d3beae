"""`StopStrings`: finds the first of several strings in a text that comes piece by piece.

For each string one number is kept: how many of its first characters the text ends with. After
Knuth, Morris and Pratt (1977) a new character changes it in constant time on average, whatever the
string, so the search costs the same at the end of a long text as at its beginning. The largest of
these numbers is also how much of the text may turn out to be the beginning of a stop string.

Read next: `text_judge.py`.
"""

from typing import NamedTuple

Matched = tuple[int, ...]
"""For each stop string: how many of its first characters the text ends with."""


class Match(NamedTuple):
    """A stop string that is complete.

    Attributes:
        stop: Which one.
        end: Where it ends in the new text.
    """

    stop: str
    end: int


class StopStrings:
    """Some strings to look for; it holds no state of a search."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._fallbacks = [_fallbacks(stop) for stop in stops]
        self.start: Matched = (0,) * len(stops)

    def search(self, text: str, matched: Matched) -> tuple[Matched, Match | None]:
        """Reads `text` up to the end of the first stop string; of two that end there, the longer.

        Args:
            text: What follows the text that led to `matched`.
            matched: What the last call returned, or `start`.
        """
        if not self._stops:
            return matched, None
        state = list(matched)
        for index, character in enumerate(text):
            found = ""
            for which, stop in enumerate(self._stops):
                length = self._step(which, state[which], character)
                if length == len(stop):
                    found = max(found, stop, key=len)
                    length = self._fallbacks[which][length - 1]
                state[which] = length
            if found:
                return tuple(state), Match(found, index + 1)
        return tuple(state), None

    def _step(self, which: int, length: int, character: str) -> int:
        stop, fallback = self._stops[which], self._fallbacks[which]
        while length and stop[length] != character:
            length = fallback[length - 1]
        return length + (stop[length] == character)


def _fallbacks(stop: str) -> list[int]:
    """For each beginning of `stop`: the longest shorter beginning that it ends with."""
    lengths, length = [0], 0
    for character in stop[1:]:
        while length and stop[length] != character:
            length = lengths[length - 1]
        length += stop[length] == character
        lengths.append(length)
    return lengths
