"""Random workloads: an engine of a random shape, requests that arrive and are aborted at random.

`random_workload(seed)` draws one, `run_workload` drives it on the `ChecksumRunner` and checks after
every step what must always hold, and at the end that each request got the tokens that a cache-free
reference computes. Prompts are cut from a few common texts over a small vocabulary, so prefixes are
shared, cross and diverge inside blocks; pools are so small that sequences evict and preempt. Some
engines have a proposer, whose guesses are right, wrong, half right, or an exception.

`Parts` swaps in broken parts: `tests/core/mutants.py` shows that each seeded bug is caught here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.memory.block_hash import HashFunction, block_hash
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import BlockPool
from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.memory.hash_index import HashIndex
from nanovllm_edu.core.memory.radix_tree import RadixTree
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence as Request
from nanovllm_edu.core.schedule.policy import Groups, MixedPolicy, PhaseSeparatedPolicy, Queue
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens

VOCAB_SIZE = 24
MAX_STEPS = 3000
"""Far more than any of these workloads needs: an engine that gets here runs in circles."""


class ShuffledPolicy:
    """An order without any sense: no policy may break the engine, however odd."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def order(self, running: Queue, waiting: Queue) -> Groups:
        everybody = [*running, *waiting]
        self._random.shuffle(everybody)
        return [everybody]

    def victim(self, candidates: list[Request]) -> Request:
        return self._random.choice(candidates)


class Guesser:
    """Knows what a greedy request says next; every so often it is wrong, or raises.

    Args:
        every: One guess in so many is spoiled; 0 spoils none.
        can_raise: Whether it now and then raises instead.
    """

    def __init__(self, every: int = 0, *, can_raise: bool = False) -> None:
        self.every = every
        self.can_raise = can_raise

    def propose(self, token_ids: Sequence[int], num_tokens: int) -> list[int]:
        if self.can_raise and len(token_ids) % 7 == 0:
            raise ArithmeticError(f"no idea what follows {len(token_ids)} tokens")
        params = SamplingParams(temperature=0, max_tokens=min(num_tokens, 4), ignore_eos=True)
        guesses = expected(token_ids, params, 0, max_model_len=10**6)
        for i in range(len(guesses)):
            if self.every and (len(token_ids) + i) % self.every == 0:
                guesses[i] = (guesses[i] + 1) % VOCAB_SIZE
        return guesses


@dataclass(frozen=True)
class Arrival:
    """A request, the step before which it arrives, and the one before which it is aborted."""

    at_step: int
    prompt: tuple[int, ...]
    params: SamplingParams
    aborted_at: int | None = None


@dataclass(frozen=True)
class Workload:
    """Everything that one run depends on."""

    seed: int
    config: EngineConfig
    arrivals: tuple[Arrival, ...]
    depth: int = 0
    eos_token_ids: frozenset[int] = frozenset()
    num_hash_bits: int = 64
    """Few bits make block hashes collide."""


@dataclass(frozen=True)
class Parts:
    """The classes that an engine is put together from."""

    block_manager: type[BlockManager] = BlockManager
    scheduler: type[Scheduler] = Scheduler
    runner: type[ChecksumRunner] = ChecksumRunner
    queues: type[Queues] = Queues
    pool: type[BlockPool] = BlockPool
    index: type[HashIndex] = HashIndex
    tree: type[RadixTree] = RadixTree


CORRECT = Parts()


def weak_hash(num_bits: int) -> HashFunction:
    """A block hash of which only the lowest bits are left."""
    return lambda parent, token_ids: block_hash(parent, token_ids) & ((1 << num_bits) - 1)


# ---------------------------------------------------------------------------- drawing


def random_workload(seed: int) -> Workload:
    """The workload of this number: always the same one."""
    random = Random(seed)
    config = _random_config(random)
    assert config.num_blocks is not None
    longest = config.max_model_len or config.num_blocks * config.block_size
    return Workload(
        seed=seed,
        config=config,
        arrivals=tuple(_random_arrivals(random, longest)),
        depth=random.choice((0, 0, 1, 1, 2, 3)),
        eos_token_ids=frozenset({0, 1} if random.random() < 0.5 else ()),
        num_hash_bits=random.choice((64, 64, 4, 2, 1)),
    )


def _random_config(random: Random) -> EngineConfig:
    block_size = random.choice((1, 2, 3, 4, 4, 8))
    num_blocks = -(-random.randint(12, 64) // block_size)
    num_slots = num_blocks * block_size
    max_model_len = random.choice((None, None, random.randint(6, num_slots)))
    longest = max_model_len or num_slots
    is_chunked = random.random() < 0.7
    budget = random.randint(1, 2 * longest) if is_chunked else random.randint(longest, 3 * longest)
    policies = (MixedPolicy(), PhaseSeparatedPolicy(), ShuffledPolicy(random.randrange(1000)))
    return EngineConfig(
        block_size=block_size,
        num_blocks=num_blocks,
        max_num_seqs=random.randint(1, 6),
        max_num_batched_tokens=budget,
        max_model_len=max_model_len,
        enable_prefix_caching=random.random() < 0.85,
        enable_chunked_prefill=is_chunked,
        policy=random.choices(policies, (3, 3, 1))[0],
        eviction_policy=random.choice((LRU, FIFO)),
        seed=random.randrange(5),
        prefix_cache=random.choice(("hash", "hash", "radix")),
        draft_proposer=_random_proposer(random),
    )


def _random_proposer(random: Random) -> Guesser | None:
    if random.random() < 0.6:
        return None
    return Guesser(random.choice((0, 1, 3)), can_raise=random.random() < 0.4)


def _random_arrivals(random: Random, longest: int) -> Iterator[Arrival]:
    texts = [[random.randrange(2, VOCAB_SIZE) for _ in range(longest)] for _ in range(3)]
    earlier: list[list[int]] = []
    at_step = 0
    for _ in range(random.randint(2, 9)):
        at_step += random.choice((0, 0, 0, 1, 2, 7, 30))
        prompt = _random_prompt(random, texts, earlier)[: longest - 1]
        params = _random_params(random)
        if params.seed is not None:  # a follow-up question repeats prompt and answer of this one
            earlier.append(prompt + expected(prompt, params, params.seed, longest))
        abort = at_step + random.randint(0, 8) if random.random() < 0.15 else None
        yield Arrival(at_step, tuple(prompt), params, abort)


def _random_prompt(random: Random, texts: list[list[int]], earlier: list[list[int]]) -> list[int]:
    source = random.choice(earlier) if earlier and random.random() < 0.4 else random.choice(texts)
    prompt = source[: random.randint(1, random.choice((8, len(source))))]
    num_own_tokens = random.choice((0, 0, 1, 3))
    return prompt + [random.randrange(2, VOCAB_SIZE) for _ in range(num_own_tokens)]


def _random_params(random: Random) -> SamplingParams:
    return SamplingParams(
        temperature=random.choice((0.0, 1.0)),
        seed=random.choice((None, random.randrange(3))),
        max_tokens=random.choice((1, 2, 5, 12, 30)),
        stop_token_ids=random.choice(((), (), (2, 3))),
        ignore_eos=random.random() < 0.3,
        n=random.choice((1, 1, 1, 2, 4)),
    )


def expected(
    prompt: Sequence[int],
    params: SamplingParams,
    seed: int,
    max_model_len: int,
    eos_token_ids: frozenset[int] = frozenset(),
) -> list[int]:
    """The tokens of a request, from the reference that has no cache."""
    return expected_tokens(
        list(prompt),
        params,
        seed,
        vocab_size=VOCAB_SIZE,
        max_model_len=max_model_len,
        eos_token_ids=eos_token_ids,
    )


# ---------------------------------------------------------------------------- driving


@dataclass
class Outcome:
    """What a run gave, by seq_id."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    expected: dict[int, list[int]] = field(default_factory=dict)
    aborted: set[int] = field(default_factory=set)
    records: list[StepRecord] = field(default_factory=list)


def build_engine(workload: Workload, parts: Parts = CORRECT) -> LLMEngine:
    """An engine for this workload, put together from these parts."""
    config = workload.config
    assert config.num_blocks is not None
    runner = parts.runner(
        config.num_blocks,
        config.block_size,
        vocab_size=VOCAB_SIZE,
        eos_token_ids=workload.eos_token_ids,
    )
    engine = LLMEngine(runner, config)
    manager = parts.block_manager(config.num_blocks, config.block_size, prefix_cache=None)
    manager.pool = parts.pool(config.num_blocks, config.eviction_policy)
    if config.enable_prefix_caching and config.prefix_cache == "hash":
        hash_function = weak_hash(workload.num_hash_bits)
        manager.cache = parts.index(manager.blocks, config.block_size, hash_function)
    elif config.enable_prefix_caching:
        manager.cache = parts.tree(manager.blocks, config.block_size)
    engine.scheduler = parts.scheduler(
        manager,
        policy=config.policy,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        max_model_len=engine.max_model_len,
        enable_chunked_prefill=config.enable_chunked_prefill,
        eos_token_ids=workload.eos_token_ids,
        draft_proposer=config.draft_proposer,
    )
    engine.scheduler.queues = parts.queues(manager, config.max_num_seqs)
    return engine


def run_workload(
    workload: Workload, parts: Parts = CORRECT, *, checks_steps: bool = True
) -> Outcome:
    """Runs it to the end. Whatever is wrong raises, most of it as an AssertionError."""
    engine = build_engine(workload, parts)
    outcome = Outcome()
    for record in drive(engine, workload, outcome):
        if checks_steps:
            check_step(engine, record)
    check_end(engine, outcome)
    return outcome


def drive(
    engine: LLMEngine,
    workload: Workload,
    outcome: Outcome,
    retries: tuple[type[Exception], ...] = (),
) -> Iterator[StepRecord]:
    """Adds, aborts and steps as the workload says; yields each record.

    An exception in `retries` is taken for a failed step: the next one tries again.
    """
    pending = sorted(workload.arrivals, key=lambda arrival: arrival.at_step)
    aborts: dict[int, int] = {}  # seq_id -> step
    stream: Iterator[StepRecord] = iter(())
    for step in range(MAX_STEPS):
        while pending and pending[0].at_step <= step:
            arrival = pending.pop(0)
            for seq_id in _add(engine, arrival, outcome):
                if arrival.aborted_at is not None:
                    aborts[seq_id] = arrival.aborted_at + seq_id % 3
        for seq_id in [i for i, due in aborts.items() if due <= step]:
            del aborts[seq_id]
            _abort(engine, seq_id, outcome)
        if not engine.has_unfinished_requests() and not engine.num_steps_in_flight:
            if not pending:
                return
            continue
        try:
            record = engine.step() if workload.depth == 0 else next(stream, None)
            if record is None:
                stream = engine.run(workload.depth)
                record = next(stream)
        except retries:
            continue
        outcome.records.append(record)
        assert not record.new_tokens.keys() & outcome.aborted, "a token after the abort"
        for seq_id, new_tokens in record.new_tokens.items():
            outcome.tokens[seq_id].extend(new_tokens)
        yield record
    raise AssertionError(f"not done after {MAX_STEPS} steps: {engine!r}")


def _add(engine: LLMEngine, arrival: Arrival, outcome: Outcome) -> list[int]:
    n = min(arrival.params.n, engine.scheduler.max_num_seqs)
    seqs = engine.add_requests([(list(arrival.prompt), replace(arrival.params, n=n))])
    for seq in seqs:
        outcome.tokens[seq.seq_id] = []
        outcome.expected[seq.seq_id] = expected(
            arrival.prompt,
            arrival.params,
            seq.seed,
            engine.max_model_len,
            engine.scheduler.eos_token_ids,
        )
    return [seq.seq_id for seq in seqs]


def _abort(engine: LLMEngine, seq_id: int, outcome: Outcome) -> None:
    if seq_id in engine.scheduler.waiting or seq_id in engine.scheduler.running:
        engine.abort_request(seq_id)
        outcome.aborted.add(seq_id)


# ---------------------------------------------------------------------------- checking


def check_step(engine: LLMEngine, record: StepRecord) -> None:
    """What holds after every step, whatever the workload."""
    scheduler = engine.scheduler
    scheduler.check_invariants()
    assert record.num_tokens <= scheduler.max_num_batched_tokens
    assert (record.blocked is None) <= (not record.waiting or bool(record.finished))
    for seq in scheduler.running.values():
        assert seq.row is not None
        # Where guesses were wrong, blocks went back that the device's table still names.
        mirror = engine.runner.mirror(seq.row)[: len(seq.block_table)]
        assert mirror == seq.block_table, "the device's table is another"
    num_claimed = sum(seq.num_claimed for seq in scheduler.running.values())
    assert engine.num_steps_in_flight or not num_claimed, "claims that nobody hands back"


def check_end(engine: LLMEngine, outcome: Outcome) -> None:
    """Right tokens, and nothing leaked."""
    for seq_id, tokens in outcome.tokens.items():
        right = outcome.expected[seq_id]
        if seq_id in outcome.aborted:
            right = right[: len(tokens)]
        assert tokens == right, f"seq {seq_id} got other tokens than the reference"
    manager = engine.scheduler.block_manager
    assert manager.num_free_blocks == manager.num_blocks, "blocks leaked"
    assert all(block.ref_count == 0 for block in manager.blocks), "references leaked"
    assert len(engine.scheduler.queues.free_rows) == engine.scheduler.max_num_seqs, "rows leaked"


def with_config(workload: Workload, **changes: object) -> Workload:
    """The same requests on an engine with other options."""
    return replace(workload, config=replace(workload.config, **changes))  # type: ignore[arg-type]
