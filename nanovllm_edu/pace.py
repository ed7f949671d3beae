"""`Pace`: with many readers, tokens come in larger pieces.

    one reader       gets each token as soon as its step is done
    many readers     take turns: what came since a reader's last turn is one piece

However many tokens are in a piece, it is one event to write, one to send, and one that a client
wakes up for. A GPU that steps 256 streams in 5 ms would ask for 51,200 of them a second, several
times of what one event loop can do. So all readers together get `PIECES_A_SECOND`: each makes the
others wait half a millisecond longer for their turns, but nobody waits longer than `longest_pause`,
so that a text still seems to flow.

The first token and the end of an answer wait for nobody. No gap between two pieces becomes longer
than it would have been by more than a pause.

It knows no engine, and takes the time from its caller. Read next: `driver.py`.
"""

from random import random

PIECES_A_SECOND = 2_000
"""At some 50 us each, with the client's part, a tenth of a processor."""
LONGEST_PAUSE = 0.05
"""Seconds: twenty pieces a second."""


class Pace:
    """When whose turn is.

    Args:
        longest_pause: No pause is longer; with 0 each token is handed out at once.
    """

    def __init__(self, longest_pause: float = LONGEST_PAUSE) -> None:
        self._longest = longest_pause

    def next_turn(self, now: float, num_readers: int, *, is_first: bool) -> float:
        """When a reader who gets a piece now may get the next one.

        Args:
            now: The time.
            num_readers: How many there are, with this one.
            is_first: Whether the piece is the first one. Readers who began together then come
                apart, or they would have all their turns in the same steps.
        """
        pause = min(max(0, num_readers - 1) / PIECES_A_SECOND, self._longest)
        return now + (pause * random() if is_first else pause)
