"""What prompts and kept records cost on the host; `benchmarks/scheduler.py` prints the figures.

    prompts   `add_request`, plan and commit of 256 prompts of 100 to 1,024 tokens, and of 256
              requests that share a cached prefix of 1,024 tokens and have 32 of their own
    records   a decode step of 256 sequences, its `StepRecord` dropped or kept for 1,000 steps

The runner is a null one and its time is taken out. Blocks hold 256 tokens, as on a GPU. CPU time,
the best of several runs.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.policy import PhaseSeparatedPolicy
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import ReadyTicket

NUM_SEQUENCES, NUM_STEPS = 256, 1000
BEFORE = {
    "256 prompts, 143k tokens": 24.8,
    "256 on a warm prefix": 39.0,
    "decode step, records dropped": 837.0,
    "decode step, records kept": 1296.0,
}
"""Commit a02ba91, measured in turns with the state after it (13.2 and 20.0 ms, 513 and 520 us) on
the same machine: no packed prompts, a Python object per chunk and per sampled token in a record.

Commit 161417f, in turns with 654705f: 13.8 and 7.6 ms of prompts, 19.7 and 11.1 ms on a prefix. It
kept prompts both as lists and packed, copied each chunk's tokens, and made every event an object.
"""


class NullRunner:
    """Computes nothing, and knows how long that took."""

    block_size, num_blocks, vocab_size, max_model_len = 256, 2400, 1 << 17, 1 << 20
    eos_token_ids: frozenset[int] = frozenset()
    seconds = 0.0

    def launch(self, plan: StepPlan) -> ReadyTicket:
        begin = time.thread_time()
        ticket = ReadyTicket(StepOutput({span.seq_id: (7,) for span in plan.spans.sampled}))
        self.seconds += time.thread_time() - begin
        return ticket

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class HostCost:
    """One figure, and what it was before prompts were packed and records too."""

    what: str
    unit: str
    value: float

    @property
    def before(self) -> float:
        """The figure of commit a02ba91."""
        return BEFORE[self.what]


def measure_host_cost(rounds: int = 5) -> Iterator[HostCost]:
    """Every figure, best of `rounds`."""
    yield HostCost("256 prompts, 143k tokens", "ms", 1e3 * min(_prompts() for _ in range(rounds)))
    yield HostCost("256 on a warm prefix", "ms", 1e3 * min(_prefix() for _ in range(rounds)))
    dropped, kept = zip(*((_decode(False), _decode(True)) for _ in range(2)), strict=True)
    yield HostCost("decode step, records dropped", "us", 1e6 * min(dropped))
    yield HostCost("decode step, records kept", "us", 1e6 * min(kept))


def _engine() -> LLMEngine:
    config = EngineConfig(
        block_size=256,
        policy=PhaseSeparatedPolicy(),
        max_num_seqs=NUM_SEQUENCES,
        max_num_batched_tokens=16_384,
    )
    return LLMEngine(NullRunner(), config)  # type: ignore[arg-type]


def _random_prompt(rng: random.Random, length: int) -> list[int]:
    return [rng.randrange(10_000) for _ in range(length)]


def _prompts() -> float:
    rng = random.Random(0)
    prompts = [_random_prompt(rng, rng.randint(100, 1024)) for _ in range(NUM_SEQUENCES)]
    return _first_tokens(_engine(), prompts)


def _prefix() -> float:
    rng, llm = random.Random(0), _engine()
    shared = _random_prompt(rng, 1024)
    _first_tokens(llm, [[*shared, 1]])
    return _first_tokens(llm, [shared + _random_prompt(rng, 32) for _ in range(NUM_SEQUENCES)])


def _first_tokens(llm: LLMEngine, prompts: list[list[int]]) -> float:
    """Seconds from the first `add_request` to the last first token."""
    llm.runner.seconds = 0.0  # type: ignore[attr-defined]
    begin = time.thread_time()
    for prompt in prompts:
        llm.add_request(prompt, SamplingParams(max_tokens=1, temperature=0.6, ignore_eos=True))
    for _ in llm.run(depth=1):
        pass
    return time.thread_time() - begin - llm.runner.seconds  # type: ignore[attr-defined]


def _decode(keep: bool) -> float:
    """Seconds per step of `NUM_STEPS` decode steps."""
    llm, records = _engine(), []
    for i in range(NUM_SEQUENCES):
        llm.add_request([i] * 100, SamplingParams(max_tokens=NUM_STEPS + 2, ignore_eos=True))
    while llm.scheduler.waiting or len(llm.step().new_tokens) < NUM_SEQUENCES:
        llm.step()
    llm.runner.seconds = 0.0  # type: ignore[attr-defined]
    begin = time.thread_time()
    for _ in range(NUM_STEPS - 10):
        record = llm.step()
        if keep:
            records.append(record)
    spent = time.thread_time() - begin - llm.runner.seconds  # type: ignore[attr-defined]
    return spent / (NUM_STEPS - 10)
