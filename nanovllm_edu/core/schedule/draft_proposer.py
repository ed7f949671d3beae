"""`DraftProposer`: guesses a sequence's next tokens, so that one step can settle several.

The step puts the guesses through the model behind the newest token, and samples at each of them.
As far as a guess is what the model itself says there, one step has done the work of two. A wrong
guess costs its computation and changes nothing: what is settled is always what the model says.

It is a seam: whatever looks tokens up in the text, or asks a small model, has this shape.

Source: speculative decoding (Leviathan et al., 2023; Chen et al., 2023).
Read next: `core/schedule/step_builder.py`, which asks.
"""

from collections.abc import Sequence as Seq
from typing import Protocol


class DraftProposer(Protocol):
    """Guesses tokens from tokens."""

    def propose(self, token_ids: Seq[int], num_tokens: int) -> Seq[int]:
        """The next tokens of a sequence, as far as there is a guess.

        Args:
            token_ids: All its tokens; their values are known.
            num_tokens: At most so many guesses are of use.
        """
        ...
