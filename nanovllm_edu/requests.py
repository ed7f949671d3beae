"""`Request`: one request with its answers, as its caller sees it; `Requests`: those of one call.

A request's tokens belong to it, whoever happens to call `step`: they are in its `Sequence`, which
keeps them when it is finished. So nothing is handed out, and nothing can be lost. Whoever waits for
a request moves the whole engine on, one step at a time, until its own sequences have what it waits
for. Several threads, a stream inside another, `engine.step()` by hand: all share one batch.

It knows nothing of prompts as text. Read next: `llm.py`, its client.
"""

from dataclasses import replace
from itertools import pairwise
from types import TracebackType
from typing import Self

from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.outputs import CompletionOutput, RequestMetrics, RequestOutput, StreamOutput
from nanovllm_edu.text_judge import TextJudge


class Answer:
    """One answer to a request: a sequence, and its text.

    Args:
        seq: Where its tokens are.
        judge: Decides its text. Where the sequence has stop strings it is the sequence's own, and
            the engine gives it the tokens; else this object does.

    Attributes:
        num_read: How many of its tokens were read.
    """

    def __init__(self, seq: Sequence, judge: TextJudge) -> None:
        self.seq = seq
        self._judge = judge
        self.num_read = 0

    @property
    def is_finished(self) -> bool:
        """Whether no further token comes."""
        return self.seq.finish_reason is not None

    @property
    def request_id(self) -> int:
        """The seq_id of the request's first answer."""
        return self.seq.seq_id if self.seq.prompt_id is None else self.seq.prompt_id

    @property
    def index(self) -> int:
        """Which of the request's answers it is."""
        return self.seq.seq_id - self.request_id

    def read(self) -> list[StreamOutput]:
        """What came since the last time, token by token."""
        seq, judge = self.seq, self._judge
        first, self.num_read = self.num_read, len(seq.token_ids) - seq.num_prompt_tokens
        new = seq.token_ids[seq.num_prompt_tokens + first :].tolist()
        texts: list[str] = []
        for token_id in new:
            if judge is not seq.judge and not judge.is_over:
                judge.add((token_id,))
            texts.append(judge.take())
        if self.is_finished:
            judge.finish()
            if texts:
                texts[-1] += judge.take()
        logprobs = seq.logprobs[first:] or [None] * len(new)  # asked for or not
        pieces = [
            StreamOutput(self.request_id, token_id, text, None, logprob, self.index)
            for token_id, text, logprob in zip(new, texts, logprobs, strict=True)
        ]
        if pieces and self.is_finished:
            pieces[-1] = replace(pieces[-1], finish_reason=seq.finish_reason)
        return pieces

    def output(self) -> CompletionOutput:
        """All of it, finished or not."""
        self.read()
        seq = self.seq
        return CompletionOutput(
            index=self.index,
            text=self._judge.text,
            token_ids=seq.output_token_ids,
            logprobs=list(seq.logprobs) if seq.params.logprobs is not None else None,
            finish_reason=seq.finish_reason,
            stop_reason=seq.stop_reason,
        )


class Request:
    """One prompt and its answers.

    Args:
        answers: One, or the `n` that were asked for.
        prompt: The text of the prompt, or None if token ids were given.
        begin: When it was made.
    """

    def __init__(self, answers: list[Answer], prompt: str | None, begin: float) -> None:
        self.answers = answers
        self._prompt = prompt
        self._begin = begin

    @property
    def request_id(self) -> int:
        """The seq_id of its first answer."""
        return self.answers[0].seq.seq_id

    @property
    def is_finished(self) -> bool:
        """Whether no further token comes."""
        return all(answer.is_finished for answer in self.answers)

    def read(self) -> list[StreamOutput]:
        """What came since the last time, answer by answer, token by token."""
        return [piece for answer in self.answers for piece in answer.read()]

    def output(self) -> RequestOutput:
        """All of it, finished or not."""
        first, *others = [answer.output() for answer in self.answers]
        seqs = [answer.seq for answer in self.answers]
        seq, times = seqs[0], seqs[0].token_times
        # What the others found is the prompt that one of them has computed.
        cached = [
            one.num_prefix_hit_tokens for one in seqs if one.num_prefix_hit_tokens is not None
        ]
        return RequestOutput(
            request_id=seq.seq_id,
            prompt=self._prompt,
            prompt_token_ids=seq.token_ids[: seq.num_prompt_tokens].tolist(),
            text=first.text,
            token_ids=first.token_ids,
            finish_reason=first.finish_reason,
            logprobs=first.logprobs,
            num_cached_tokens=min(cached, default=0),
            metrics=RequestMetrics(
                times[0] - self._begin if times else 0.0,
                tuple(after - before for before, after in pairwise(times)),
                sum(one.num_preemptions for one in seqs),
            ),
            stop_reason=first.stop_reason,
            others=tuple(others),
        )


class Requests:
    """The requests of one call. Leaving the block aborts those that are not finished.

    Args:
        engine: Whose they are.
        depth: How many steps are planned ahead while somebody waits for them.
    """

    def __init__(self, engine: LLMEngine, depth: int = 0) -> None:
        self._engine = engine
        self._depth = depth
        self.listed: list[Request] = []

    @property
    def answers(self) -> list[Answer]:
        """Those of all of them."""
        return [answer for request in self.listed for answer in request.answers]

    @property
    def are_finished(self) -> bool:
        """Whether nothing is left to wait for."""
        return all(request.is_finished for request in self.listed)

    def advance(self) -> None:
        """Moves the whole engine on by one step, for all who wait.

        Whoever comes to an end last leaves nothing in flight.
        """
        self._engine.advance(self._depth)
        while self._engine.num_steps_in_flight and not self._engine.has_unfinished_requests():
            self._engine.advance()

    def read(self) -> list[StreamOutput]:
        """What came of each since the last time."""
        with self._engine.exclusive():  # a token and the end that it brings are one
            return [piece for request in self.listed for piece in request.read()]

    def outputs(self) -> list[RequestOutput]:
        """What each has come to, in order."""
        with self._engine.exclusive():
            return [request.output() for request in self.listed]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.drop()

    def drop(self) -> None:
        """Ends those that are not finished."""
        self._engine.drop([answer.seq for answer in self.answers if not answer.is_finished])
