"""`DraftProposer`: guesses a sequence's next tokens, so that one step can settle several.

The step puts the guesses through the model behind the newest token, and samples at each of them.
As far as a guess is what the model itself says there, one step has done the work of two. A wrong
guess costs its computation and changes nothing: what is settled is always what the model says.

It is a seam. Whatever looks tokens up in the text is a `DraftProposer`; what runs a small model
would rather be asked once for a whole batch, and is a `BatchDraftProposer` as well. `Drafts` asks
either, and trusts neither.

Source: speculative decoding (Leviathan et al., 2023; Chen et al., 2023).
Read next: `core/schedule/ngram_proposer.py`; then `core/schedule/step_builder.py`, which asks.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from itertools import islice
from operator import index
from typing import NamedTuple, Protocol, SupportsIndex, cast, runtime_checkable

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence


class DraftProposer(Protocol):
    """Guesses tokens from tokens."""

    def propose(self, token_ids: Seq[int], num_tokens: int) -> Seq[int]:
        """The next tokens of a sequence, as far as there is a guess.

        Args:
            token_ids: All its tokens; their values are known.
            num_tokens: At most so many guesses are of use.
        """
        ...


class DraftRequest(NamedTuple):
    """What can be known of a sequence whose next tokens are to be guessed.

    Attributes:
        token_ids: All its tokens; their values are known.
        num_tokens: At most so many guesses are of use.
        sampling: How it is sampled.
        seed: Its random numbers come from (seed, position).
    """

    token_ids: Seq[int]
    num_tokens: int
    sampling: SamplingParams
    seed: int


@runtime_checkable
class BatchDraftProposer(DraftProposer, Protocol):
    """Guesses for a whole batch at once."""

    def propose_many(self, requests: Seq[DraftRequest]) -> Seq[Seq[int]]:
        """The next tokens of each, in order; () where there is no guess."""
        ...


class Drafts:
    """The guesses of one step.

    Args:
        proposer: Who guesses.
        vocab_size: Guesses are in [0, vocab_size).
        running: Whom a batch is made of: those with one token left, whose value is known.
    """

    def __init__(
        self, proposer: DraftProposer, vocab_size: int, running: Iterable[Sequence]
    ) -> None:
        self._proposer = proposer
        self._batched = proposer if isinstance(proposer, BatchDraftProposer) else None
        self._vocab_size = vocab_size
        self._running = running
        self._answers: dict[int, Seq[int] | Exception] = {}

    def of(self, seq: Sequence, limit: int) -> tuple[int, ...]:
        """At most `limit` tokens that may follow.

        Raises:
            Exception: Whatever the proposer raised, or its answer is no tokens of this model.
        """
        if self._batched is None:
            answer = self._proposer.propose(seq.token_ids[:], limit)  # a copy: it may be changed
        else:
            answer = self._answer_of(seq.seq_id, self._batched)
        return tuple([self._token(guess) for guess in islice(answer, limit)])

    def _answer_of(self, seq_id: int, proposer: BatchDraftProposer) -> Seq[int]:
        """Out of one call for all who may be asked about in this step."""
        if not self._answers:
            self._answers = _answers(proposer, [seq for seq in self._running if _num_useful(seq)])
        answer = self._answers[seq_id]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _token(self, guess: object) -> int:
        """The guess as a token id that the model has."""
        token_id = index(cast(SupportsIndex, guess))
        if not 0 <= token_id < self._vocab_size:
            raise ValueError(f"token {token_id} is not in [0, {self._vocab_size})")
        return token_id


def _answers(
    proposer: BatchDraftProposer, sequences: Seq[Sequence]
) -> dict[int, Seq[int] | Exception]:
    """seq_id -> guesses. What goes wrong goes wrong for all of them."""
    requests = [
        DraftRequest(seq.token_ids[:], _num_useful(seq), seq.params, seq.seed) for seq in sequences
    ]
    answers: list[Seq[int] | Exception]
    try:
        answers = list(proposer.propose_many(requests))
        if len(answers) != len(requests):
            raise ValueError(f"{len(answers)} answers for {len(requests)} sequences")
    except Exception as error:
        answers = [error] * len(requests)
    return {seq.seq_id: answer for seq, answer in zip(sequences, answers, strict=True)}


def _num_useful(seq: Sequence) -> int:
    """How many guesses may come true: none for one whose newest token must still be waited for."""
    if seq.num_claimed or seq.num_remaining_tokens != 1:
        return 0
    return max(0, seq.max_num_tokens - len(seq.token_ids) - 1)
