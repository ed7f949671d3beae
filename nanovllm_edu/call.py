"""`Call`: the requests of one call while they are in an engine, and how much of them was told.

It knows no thread and no event loop. Read next: `driver.py`, who has them.
"""

from dataclasses import dataclass, field

from nanovllm_edu.outputs import StreamOutput
from nanovllm_edu.requests import Answer, Requests
from nanovllm_edu.serving_metrics import Tally


@dataclass(slots=True, eq=False)
class Call:
    """Requests that came together.

    Attributes:
        requests: As the engine has them.
        arrival: When they came.
        turn: When the next tokens may be handed out; 0 before the first.
        answers: Those of the requests.
        num_counted: Of each answer's tokens.
    """

    requests: Requests
    arrival: float
    turn: float = 0.0
    answers: list[Answer] = field(init=False)
    num_counted: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.answers = self.requests.answers
        self.num_counted = [0] * len(self.answers)

    @property
    def is_over(self) -> bool:
        """Whether no further token comes."""
        return all(answer.is_finished for answer in self.answers)

    @property
    def has_begun(self) -> bool:
        """Whether the engine has begun with one of them."""
        return any(answer.seq.has_begun for answer in self.answers)

    def read(self) -> tuple[StreamOutput, ...]:
        """What came since the last time."""
        return tuple(piece for answer in self.answers for piece in answer.read())

    def count_tokens(self, tally: Tally) -> None:
        """Counts those that were not counted yet."""
        for index, answer in enumerate(self.answers):
            times, first = answer.seq.token_times, self.num_counted[index]
            if len(times) > first:
                tally.count_tokens(self.arrival, times, first)
                self.num_counted[index] = len(times)

    def count_ending(self, tally: Tally, reason: str = "") -> None:
        """Counts what is left, and why it has ended: `reason` if the engine knows none."""
        self.count_tokens(tally)
        for answer in self.answers:
            tally.count_ending(answer.seq, self.arrival, reason)
