"""`World`: an engine of a random shape, driven by random steps, with the truth kept beside it.

Every step is one of: a request arrives, is aborted or sampled differently; the engine takes a step
at some depth; it is forked, and the fork runs to its end. After each, the books are checked.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import PrefixHit, PromptShared
from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.request.sampling_params import SamplingParams, sample_seed
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, PromptTooLongError
from tests.core.grammars import ToyGrammar
from tests.proof.books import check_books, check_idle
from tests.proof.interrupts import Injector
from tests.proof.parts import (
    DeviceFailure,
    FailedTicket,
    Guesser,
    Moves,
    MovingScheduler,
    ProofRunner,
    Shuffled,
)
from tests.proof.truth import VOCAB_SIZE, Known, Truth

MAX_REQUESTS = 8
MAX_STEPS_TO_END = 4000


@dataclass(frozen=True)
class Options:
    """How rough the world is.

    Attributes:
        fault_rate: How often the device fails.
        max_block_size: Block sizes are in [1, max_block_size].
        check_rate: How often everything is checked, between steps.
        interrupt_rate: How often a step is interrupted, at some line of it.
    """

    fault_rate: float = 0.0
    max_block_size: int = 8
    check_rate: float = 1.0
    interrupt_rate: float = 0.0


class World:
    """One engine, everything random about it, and what it must answer."""

    def __init__(self, seed: int, options: Options | None = None) -> None:
        self.options = options or Options()
        self.random = random = Random(seed)
        self.truth = Truth()
        self.counts: Counter[str] = Counter()
        self.line: int | None = None
        guesser = Guesser(self.truth, random) if random.random() < 0.6 else None
        config = _random_config(random, guesser, self.options.max_block_size)
        assert config.num_blocks is not None
        runner = ProofRunner(
            config.num_blocks,
            config.block_size,
            num_groups=random.choice((1, 2)),
            eos_token_ids=frozenset({0, 1} if random.random() < 0.5 else ()),
        )
        self.take_over(LLMEngine(runner, config))
        self.texts = [[random.randrange(2, VOCAB_SIZE) for _ in range(64)] for _ in range(3)]

    def take_over(self, engine: LLMEngine) -> None:
        """Drives this engine from now on."""
        self.engine = engine
        self.runner: Any = engine.runner
        self.runner.random, self.runner.fault_rate = self.random, self.options.fault_rate
        engine.scheduler.__class__ = MovingScheduler
        rate = self.random.choice((0.0, 0.3, 0.9))
        engine.scheduler.moves = self.moves = Moves(self.random, rate)  # type: ignore[attr-defined]

    # ------------------------------------------------------------------- random steps

    def run(self, num_steps: int) -> None:
        """This many random steps, and then all that is left to do."""
        for _ in range(num_steps):
            self.random_step()
        self.finish()

    def random_step(self) -> None:
        """Something happens."""
        if self.random.random() < self.options.interrupt_rate:
            self._interrupted_step()
        else:
            self._step()
        self.check()

    def _interrupted_step(self) -> None:
        """The stop button, somewhere in it: what was settled counts, and nothing else happened."""
        self.line = self.random.randint(1, self.random.choice((30, 300, 1500)))
        try:
            self._step()
        except KeyboardInterrupt:
            self.counts["interrupts"] += 1
        self.line = None
        self.truth.catch_up()

    def call(self, verb: Callable[..., Any], *args: Any) -> Any:
        """Calls the engine, and presses the stop button meanwhile if it is time."""
        line, self.line = self.line, None
        if line is None:
            return verb(*args)
        with Injector(line):
            return verb(*args)

    def _step(self) -> None:
        num_unfinished = len(self.unfinished())
        chance = self.random.random()
        if not num_unfinished or (chance < 0.15 and num_unfinished < MAX_REQUESTS):
            self.add()
        elif chance < 0.18:
            self.abort(self.random.choice(self.unfinished()))
        elif chance < 0.22 and not self.options.interrupt_rate:
            self.update(self.random.choice(self.unfinished()))
        elif chance < 0.245 and not self.engine.num_steps_in_flight:
            self.fork()
        else:
            self.advance(self.random.choice((0, 0, 1, 1, 2, 3)))

    def unfinished(self) -> list[int]:
        return sorted(self.engine.unfinished_seq_ids())

    def add(self) -> None:
        """A request arrives."""
        params, prompt = _random_params(self.random), self._random_prompt()
        n = self.random.choice((1, 1, 2, 3, 4))
        params = replace(params, n=min(n, self.engine.scheduler.max_num_seqs))
        seqs = self.call(self.engine.add_requests, [(prompt, params)])
        limit, eos = self.engine.max_model_len, self.runner.eos_token_ids
        assert len(seqs) == params.n
        is_held = self.random.random() < 0.3
        self.counts["grammars"] += is_held
        for index, seq in enumerate(seqs):
            if params.seed is not None:
                assert seq.seed == sample_seed(params.seed, index)
            known = Known(seq, prompt, seq.seed, limit, eos, [(0, params)])
            if is_held:
                seq.grammar, known.is_held = ToyGrammar(VOCAB_SIZE, eos), True
            self.truth.add(known)
        self.counts["requests"] += 1

    def abort(self, seq_id: int) -> None:
        self.call(self.engine.abort_request, seq_id)
        self.truth.requests[seq_id].reason = "abort"
        self.counts["aborts"] += 1

    def update(self, seq_id: int) -> None:
        """Samples a request differently from the next planned step on."""
        params = self.engine.update_request(seq_id, temperature=self.random.choice((0.0, 1.0)))
        first = self.engine.scheduler._num_plans
        self.truth.requests[seq_id].sampling.append((first, params))

    def advance(self, depth: int) -> StepRecord | None:
        """One step, at most `depth` of them ahead."""
        self.runner.spoil_blank(self.engine.scheduler.block_manager.pool.blank)
        self.counts["steps"] += 1
        try:
            record = self.call(self.engine.advance, depth)
        except DeviceFailure:
            self.counts["faults"] += 1
            return None
        if record is not None:
            self.take(record)
        return record

    def take(self, record: StepRecord) -> None:
        """Compares a record with the truth."""
        self.truth.take(record)
        tables = self.moves.tables.pop(record.step_id)
        assert dict(record.block_tables) == tables, "the record tells of other block tables"
        assert record.num_tokens <= self.engine.scheduler.max_num_batched_tokens
        self.counts["preemptions"] += len(record.preempted)
        self.counts["hits"] += sum(
            bool(event.num_tokens) for event in record.events if isinstance(event, PrefixHit)
        )
        self.counts["shared prompts"] += sum(isinstance(e, PromptShared) for e in record.events)
        self.counts["copied rests"] += sum(
            isinstance(e, PromptShared) and e.copied_block is not None for e in record.events
        )

    def fork(self) -> None:
        """The engine once more; the copy runs to its end under other options."""
        random = self.random
        changes = random.choice(
            (
                {},
                {},
                {"max_num_batched_tokens": random.randint(1, 40), "enable_chunked_prefill": True},
                {"policy": PhaseSeparatedPolicy()},
                {"draft_proposer": None},
                {"block_size": random.randint(1, 8)},
                {"prefix_cache": random.choice(("hash", "radix"))},
                {"eviction_policy": FIFO},
            )
        )
        if "block_size" in changes:
            changes["num_blocks"] = -(-self.engine.max_model_len // changes["block_size"]) + 1
        try:
            twin = self.engine.fork(**changes)
        except (ConfigError, PromptTooLongError):
            return
        before = self.engine.state()
        world = World.__new__(World)
        world.options, world.random = self.options, Random(random.random())
        world.texts, world.counts, world.line = self.texts, self.counts, None
        world.take_over(twin)
        queues = twin.scheduler.queues
        world.truth = self.truth.copy({**queues.running, **queues.waiting})
        for known in world.truth.requests.values():
            known.limit = min(known.limit, twin.max_model_len)
            known.sampling = [(-1, known.sampling[0][1]), (-1, known.sampling[-1][1])]
        world.finish()
        assert self.engine.state() == before, "the fork moved the engine that it came from"
        self.counts["forks"] += 1

    # ------------------------------------------------------------------------- checks

    def check(self) -> None:
        """The books and the tokens, as they must be between two steps."""
        if self.random.random() < self.options.check_rate:
            steps = self.engine._in_flight
            has_failed = any(isinstance(step.ticket, FailedTicket) for step in steps)
            check_books(self.engine, None if has_failed else self.truth)  # nobody knows it yet
            self.truth.check_sequences()

    def finish(self) -> None:
        """Runs until nothing is left; then nothing may be held by anybody."""
        for _ in range(MAX_STEPS_TO_END):
            if not self.unfinished():
                break
            self.advance(self.random.choice((0, 1, 2, 3)))
            self.check()
        else:
            raise AssertionError(f"not done after {MAX_STEPS_TO_END} steps: {self.engine!r}")
        while self.engine.num_steps_in_flight:
            self.advance(0)
        check_idle(self.engine)
        check_books(self.engine, self.truth)
        self.truth.check_sequences()
        assert all(known.reason for known in self.truth.requests.values()), "an owner waits"

    def _random_prompt(self) -> list[int]:
        random, longest = self.random, self.engine.max_model_len - 1
        old = [known.tokens for known in list(self.truth.requests.values())[-6:]]
        source = random.choice(old) if old and random.random() < 0.5 else random.choice(self.texts)
        cut = source[: random.randint(1, random.choice((8, len(source))))]
        own = [random.randrange(2, VOCAB_SIZE) for _ in range(random.choice((0, 0, 1, 3)))]
        return (cut + own)[:longest]


def _random_config(random: Random, guesser: Guesser | None, max_block_size: int) -> EngineConfig:
    block_size = random.choice((1, 2, 3, 4, 4, 5, 8, 16, 32))
    block_size = min(block_size, max_block_size)
    num_blocks = max(2, -(-random.randint(12, 72) // block_size))
    longest = min(64, num_blocks * block_size)
    max_model_len = random.choice((longest, longest, random.randint(6, longest)))
    is_chunked = random.random() < 0.7
    budget = random.randint(1, 2 * longest) if is_chunked else random.randint(longest, 3 * longest)
    policies = (MixedPolicy(), PhaseSeparatedPolicy(), Shuffled(Random(random.random())))
    return EngineConfig(
        block_size=block_size,
        num_blocks=num_blocks,
        max_num_seqs=random.randint(1, 6),
        max_num_batched_tokens=budget,
        max_model_len=max_model_len,
        enable_prefix_caching=random.random() < 0.9,
        prefix_cache=random.choice(("hash", "radix")),
        enable_chunked_prefill=is_chunked,
        policy=random.choices(policies, (3, 3, 1))[0],
        eviction_policy=random.choice((LRU, FIFO)),
        draft_proposer=guesser,
        seed=random.randrange(5),
    )


def _random_params(random: Random) -> SamplingParams:
    return SamplingParams(
        temperature=random.choice((0.0, 0.0, 1.0)),
        seed=random.choice((None, random.randrange(3))),
        max_tokens=random.choice((1, 2, 5, 12, 30)),
        stop_token_ids=random.choice(((), (), (2, 3))),
        ignore_eos=random.random() < 0.3,
    )
