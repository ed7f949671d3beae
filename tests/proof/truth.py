"""What each request of an engine must get, token by token, and whether a record gives it that.

The truth of the checksum "model" needs neither cache nor blocks: each token follows from the tokens
before it, and from the sampling parameters that were in force when its step was planned.
"""

from array import array
from dataclasses import dataclass, field

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.runners.checksum import checksum, sample
from tests.core.grammars import LONGEST, toy_mask

VOCAB_SIZE = 24


@dataclass
class Known:
    """One request: what was asked for, and what it has come to.

    Attributes:
        seq: The engine's own sequence; compared, never believed.
        limit: The longest it may grow.
        eos: Tokens by which the model ends.
        sampling: (first step, parameters) of each change.
        tokens: Prompt and every token seen so far.
        context: The checksum of each of them.
        reason: How it ended; None while it goes on.
        is_held: Whether it is held to a toy grammar.
    """

    seq: Sequence
    prompt: list[int]
    seed: int
    limit: int
    eos: frozenset[int]
    sampling: list[tuple[int, SamplingParams]]
    tokens: list[int] = field(default_factory=list)
    context: list[int] = field(default_factory=list)
    reason: str | None = None
    is_held: bool = False

    def __post_init__(self) -> None:
        for token in self.prompt:
            self.push(token)

    def push(self, token: int) -> None:
        self.context.append(checksum(self.context[-1] if self.context else None, token))
        self.tokens.append(token)

    def params_at(self, step_id: int) -> SamplingParams:
        return [params for first, params in self.sampling if first <= step_id][-1]

    def next_token(self, step_id: int) -> int:
        output = self.tokens[len(self.prompt) :]
        mask = toy_mask(output, VOCAB_SIZE, self.eos) if self.is_held else None
        return sample(self.context, self.params_at(step_id), self.seed, VOCAB_SIZE, mask)

    def ending(self) -> str | None:
        """How it ends with its newest token, if it does."""
        params, newest = self.sampling[0][1], self.tokens[-1]
        if newest in params.stop_token_ids or (newest in self.eos and not params.ignore_eos):
            return "stop"
        if len(self.tokens) >= min(self.limit, len(self.prompt) + params.max_tokens):
            return "length"
        num_output = len(self.tokens) - len(self.prompt)
        is_complete = self.is_held and (newest in self.eos or num_output >= LONGEST)
        return "stop" if is_complete else None

    def guesses(self, num_tokens: int) -> list[int]:
        """The tokens that come next, if nothing changes."""
        ahead = self.copy(self.seq)
        ahead.sampling = self.sampling[-1:]
        first = len(ahead.tokens)
        for _ in range(num_tokens):
            ahead.push(ahead.next_token(self.sampling[-1][0]))
        return ahead.tokens[first:]

    def copy(self, seq: Sequence) -> "Known":
        """The same request in a forked engine."""
        twin = Known(seq, [], self.seed, self.limit, self.eos, list(self.sampling))
        twin.prompt, twin.reason, twin.is_held = self.prompt, self.reason, self.is_held
        twin.tokens, twin.context = list(self.tokens), list(self.context)
        return twin


class Truth:
    """All requests of one engine."""

    def __init__(self) -> None:
        self.requests: dict[int, Known] = {}
        self.prefixes: set[tuple[int, ...]] = set()
        """Every prefix of every request: what a cache may hold."""

    def add(self, known: Known) -> None:
        self.requests[known.seq.seq_id] = known
        self._note(known)

    def is_prefix(self, tokens: tuple[int, ...]) -> bool:
        return tokens in self.prefixes

    def take(self, record: StepRecord) -> None:
        """Fails unless each token of the record is the right one, and each ending."""
        spans = {span.seq_id: span for span in record.spans}
        for seq_id, tokens in record.new_tokens.items():
            known, span = self.requests[seq_id], spans[seq_id]
            assert known.reason is None, f"seq {seq_id} has ended and got {tokens}"
            assert len(tokens) <= span.num_drafted + 1, "more tokens than were claimed"
            assert span.is_sampled and span.start + span.num_tokens - span.num_drafted == len(
                known.tokens
            ), "a token of another position"
            for index, token in enumerate(tokens):
                right = known.next_token(record.step_id)
                assert token == right, f"seq {seq_id} got {token} and not {right}"
                if index:  # it came because the guess in front of it was right
                    assert span.drafted[index - 1] == known.tokens[-1]
                known.push(token)
                known.reason = known.ending()
                assert known.reason is None or index == len(tokens) - 1, "tokens behind the end"
            told = record.finished.get(seq_id)
            assert told == known.reason, f"seq {seq_id} ended by {told!r}, not {known.reason!r}"
            self._note(known)
        for seq_id, reason in record.finished.items():
            if reason == "error":
                self.requests[seq_id].reason = "error"
        assert record.finished.keys() <= {*record.new_tokens, *spans}

    def catch_up(self) -> None:
        """Takes what the sequences hold, where an interrupt swallowed the record."""
        for known in self.requests.values():
            for token in known.seq.token_ids[len(known.tokens) :]:
                assert known.reason is None, f"seq {known.seq.seq_id} has ended and got {token}"
                right = known.next_token(known.sampling[-1][0])
                assert token == right, f"seq {known.seq.seq_id} got {token} and not {right}"
                known.push(token)
                known.reason = known.ending()
            if known.reason is None and known.seq.finish_reason in ("abort", "error"):
                known.reason = known.seq.finish_reason
            self._note(known)
        self.check_sequences()

    def check_sequences(self) -> None:
        """Each sequence holds what its records said, and ended as they said."""
        for known in self.requests.values():
            assert known.seq.token_ids == array("Q", known.tokens), (
                f"seq {known.seq.seq_id} holds other tokens than its records"
            )
            assert known.seq.finish_reason == known.reason
            assert len(known.seq.token_times) == len(known.tokens) - len(known.prompt)

    def _note(self, known: Known) -> None:
        tokens = tuple(known.tokens)
        for end in range(len(tokens), 0, -1):
            if tokens[:end] in self.prefixes:
                break
            self.prefixes.add(tokens[:end])

    def copy(self, sequences: dict[int, Sequence]) -> "Truth":
        """For a forked engine, whose sequences are these."""
        twin = Truth()
        for seq_id, known in self.requests.items():
            if seq_id in sequences:
                twin.requests[seq_id] = known.copy(sequences[seq_id])
        twin.prefixes = set(self.prefixes)
        return twin
