"""A proposer whose luck is set: it knows the answer, and says it with a given probability.

    guesser = SometimesRight(texts, acceptance=0.8, num_tokens=4)
    engine = checksum_engine(draft_proposer=guesser)

The real engine verifies its guesses, so what a lesson says about acceptance can be counted. Whether
a guess is right depends on the seed, the text and the position alone, not on the batch.

Read next: `lesson_14.py`.
"""

from collections.abc import Sequence
from random import Random

from nanovllm_edu.core.events import DraftVerified
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.lessons.checks import checksum_engine, finish, generated, greedy

LENGTH = 24
"""Tokens of an answer: on a runner that hashes every context, long ones take their time."""


class SometimesRight:
    """Guesses the next tokens of known texts, each one right with probability `acceptance`.

    Args:
        texts: Prompt and answer of every sequence.
        acceptance: From 0 to 1.
        num_tokens: Guesses for each step.
        seed: Of its luck.
    """

    def __init__(
        self, texts: Sequence[Sequence[int]], acceptance: float, num_tokens: int, seed: int = 0
    ) -> None:
        self._texts = [list(text) for text in texts]
        self._acceptance, self._num_tokens, self._seed = acceptance, num_tokens, seed

    def propose(self, token_ids: Sequence[int], num_tokens: int) -> list[int]:
        """What follows in the text that begins like this, where luck will have it."""
        start, said = len(token_ids), list(token_ids)
        text = next((text for text in self._texts if text[:start] == said), said)
        end = min(start + min(num_tokens, self._num_tokens), len(text))
        return [self._guess(text, place) for place in range(start, end)]

    def _guess(self, text: list[int], place: int) -> int:
        token_id = text[place]
        luck = Random(f"{self._seed} {place} {text[:4]}").random()
        return (
            token_id if luck < self._acceptance else token_id ^ 1
        )  # its neighbour: another token, and a real one


def guess_along(acceptance: float, num_tokens: int, seed: int = 0) -> list[StepRecord]:
    """The steps of 32 requests whose guesses are right with this probability."""
    prompts = [[1, 2, 3, number] for number in range(32)]
    texts = [prompt + said for prompt, said in zip(prompts, _answers(prompts), strict=True)]
    engine = checksum_engine(
        num_blocks=256, draft_proposer=SometimesRight(texts, acceptance, num_tokens, seed)
    )
    engine.add_requests((prompt, greedy(LENGTH)) for prompt in prompts)
    return finish(engine)


def _answers(prompts: list[list[int]]) -> list[list[int]]:
    """What the requests get without guesses."""
    engine = checksum_engine(num_blocks=256)
    engine.add_requests((prompt, greedy(LENGTH)) for prompt in prompts)
    return list(generated(finish(engine)).values())


def tokens_a_step(records: Sequence[StepRecord]) -> float:
    """How many tokens a step settled for a sequence, where all `num_tokens` were guessed."""
    verified = [e for record in records for e in record.events if isinstance(e, DraftVerified)]
    most = max(len(event.drafted) for event in verified)
    full = [event.num_accepted for event in verified if len(event.drafted) == most]
    return 1 + sum(full) / len(full)
