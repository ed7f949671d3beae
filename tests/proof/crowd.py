"""Many threads on one `LLM`, each with its own mix of calls, and what each must get."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import UnknownRequestError
from nanovllm_edu.llm import LLM
from tests.proof.small_llm import right


def greedy(num_tokens: int) -> SamplingParams:
    return SamplingParams(temperature=0.0, max_tokens=num_tokens)


class Member:
    """One thread. Counts what it did; keeps the first thing that was wrong."""

    def __init__(self, llm: LLM, seed: int, num_requests: int) -> None:
        self.llm, self.random, self.num_requests = llm, Random(seed), num_requests
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None

    def __call__(self) -> None:
        calls = [self.generate, self.stream, self.drop, self.weave, self.nest, self.by_hand]
        try:
            while self.counts["requests"] < self.num_requests:
                self.random.choice(calls)()
        except BaseException as error:
            self.error = error

    def prompt(self) -> list[int]:
        """Prompts share beginnings across threads."""
        common = [[5] * 9, [7, 8, 9, 7, 8, 9, 7, 8], [1]]
        text = self.random.choice(common) + [self.random.randrange(9) for _ in range(3)]
        self.counts["requests"] += 1
        return text[: self.random.randint(1, len(text))]

    def generate(self) -> None:
        prompts = [self.prompt() for _ in range(self.random.randint(1, 3))]
        params = greedy(self.random.randint(1, 8))
        outputs = self.llm.generate(prompts, params, use_tqdm=False)
        assert [o.token_ids for o in outputs] == [right(p, params) for p in prompts]
        assert {o.finish_reason for o in outputs} == {"length"}

    def stream(self) -> None:
        """Read to its end: all tokens, and the reason on the last one."""
        prompt, params = self.prompt(), greedy(self.random.randint(1, 8))
        pieces = list(self.llm.stream(prompt, params))
        assert [piece.token_id for piece in pieces] == right(prompt, params)
        assert [piece.finish_reason for piece in pieces if piece.finish_reason] == ["length"]
        assert pieces[-1].finish_reason, "the last token does not say that it is the last"
        assert "".join(p.text for p in pieces) == "".join(map(chr, right(prompt, params)))

    def drop(self) -> None:
        """Given up after a few tokens."""
        prompt, params = self.prompt(), greedy(8)
        stream, tokens = self.llm.stream(prompt, params), []
        for _ in range(self.random.randint(0, 7)):
            tokens.append(next(stream).token_id)
        del stream
        assert tokens == right(prompt, params)[: len(tokens)]
        self.counts["dropped"] += 1

    def weave(self) -> None:
        """Two streams, a token of each in turn."""
        prompts, params = [self.prompt(), self.prompt()], greedy(5)
        streams = [self.llm.stream(prompt, params) for prompt in prompts]
        tokens = [[left.token_id, other.token_id] for left, other in zip(*streams, strict=True)]
        assert [list(each) for each in zip(*tokens, strict=True)] == [
            right(prompt, params) for prompt in prompts
        ]

    def nest(self) -> None:
        """`generate` inside a stream, and `step()` by hand between two tokens."""
        prompt, params, tokens = self.prompt(), greedy(4), []
        for piece in self.llm.stream(prompt, params):
            tokens.append(piece.token_id)
            if len(tokens) == 2:
                self.generate()
                self.llm.engine.step()
        assert tokens == right(prompt, params)

    def by_hand(self) -> None:
        """Added to the engine, and aborted or waited for there."""
        prompt, params = self.prompt(), greedy(6)
        (seq,) = self.llm.engine.add_requests([(prompt, params)])
        if self.random.random() < 0.5:
            try:
                self.llm.engine.abort_request(seq.seq_id)
                self.counts["aborted"] += 1
            except UnknownRequestError:  # the others were quicker
                assert seq.finish_reason == "length"
        while seq.finish_reason is None:
            self.llm.engine.step()
        tokens = list(seq.output_token_ids)
        assert tokens == right(prompt, params)[: len(tokens)]
        assert seq.finish_reason == "abort" or len(tokens) == 6


@contextmanager
def many_switches() -> Iterator[None]:
    """Threads change places far more often than usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def crowd(llm: LLM, num_threads: int, num_requests: int, seed: int = 0) -> Counter[str]:
    """Runs them all; raises what was wrong in one of them."""
    members = [Member(llm, seed * 1000 + i, num_requests) for i in range(num_threads)]
    threads: list[Any] = [threading.Thread(target=member, daemon=True) for member in members]
    with many_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=240)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
    counts: Counter[str] = Counter()
    for member in members:
        counts += member.counts
        if member.error is not None:
            raise member.error
    return counts
