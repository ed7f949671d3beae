"""Random workloads that reach every kind of event, for the tests of this folder."""

from dataclasses import dataclass
from random import Random

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.engine_state import EngineState
from nanovllm_edu.core.memory.eviction import FIFO, LRU
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.schedule.policy import MixedPolicy, PhaseSeparatedPolicy
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens


@dataclass
class Played:
    """A recorder and the live states that were seen while it recorded, [-1] first."""

    recorder: Recorder
    states: list[EngineState]


class Flaky(ChecksumRunner):
    """Fails on some launches."""

    def __init__(self, *args, fail_at: frozenset[int] = frozenset(), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fail_at = fail_at
        self.num_launches = 0

    def launch(self, plan):
        self.num_launches += 1
        if self.num_launches in self.fail_at:
            raise RuntimeError("the device is unwell")
        return super().launch(plan)


class Guesses:
    """Guesses what the runner will say: right, wrong, half right, nothing, or an error."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def propose(self, token_ids, num_tokens):
        rng = Random(
            1000 * self.seed + len(token_ids)
        )  # the same once more, when steps are repeated
        if rng.random() < 0.05:
            raise ValueError("nothing comes to mind")
        params = SamplingParams(temperature=0.0, max_tokens=rng.randint(1, 5))
        right = expected_tokens(list(token_ids), params, 0)[: params.max_tokens]
        return [t if rng.random() < 0.7 else (t + 1) % 1000 for t in right]


def make_engine(rng: Random, **options) -> LLMEngine:
    fail_at = frozenset(options.pop("fail_at", ()))
    runner = Flaky(
        rng.randint(6, 24), rng.choice([1, 2, 4]), eos_token_ids=frozenset({7}), fail_at=fail_at
    )
    values = {
        "policy": rng.choice([MixedPolicy, PhaseSeparatedPolicy])(),
        "eviction_policy": rng.choice([LRU, FIFO]),
        "enable_prefix_caching": rng.random() < 0.8,
        "max_num_seqs": rng.randint(1, 6),
        "max_num_batched_tokens": rng.randint(2, 24),
        "prefix_cache": rng.choice(["hash", "radix"]),
        "draft_proposer": rng.choice([None, Guesses(rng.randrange(1000))]),
    } | options
    return LLMEngine(runner, EngineConfig(**values))


def random_prompt(rng: Random, engine: LLMEngine) -> list[int]:
    longest = min(engine.max_model_len - 1, 24)
    shared = [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13][: rng.randint(0, 12)]
    return (shared + [rng.randrange(1000) for _ in range(rng.randint(1, 12))])[:longest]


def random_params(rng: Random, engine: LLMEngine) -> SamplingParams:
    return SamplingParams(
        temperature=rng.choice([0.0, 1.0]),
        max_tokens=rng.randint(1, 20),
        repetition_penalty=rng.choice([1.0, 1.1]),
        n=min(rng.choice([1, 1, 2, 3]), engine.config.max_num_seqs),
    )


def play(seed: int, *, num_actions: int = 120, depth: int = 0, **options) -> Played:
    """A random run in which requests come and go between steps."""
    rng = Random(seed)
    engine = make_engine(rng, **options)
    if rng.random() < 0.3:  # an engine with a past
        for _ in range(3):
            engine.add_request(random_prompt(rng, engine), random_params(rng, engine))
        for _ in range(4):
            engine.step()
    recorder = Recorder(engine)
    states: list[EngineState] = []
    steps = iter(())
    for _ in range(num_actions):
        action = rng.random()
        unfinished = [*engine.scheduler.waiting, *engine.scheduler.running]
        if action < 0.2:
            add = recorder.add_request if rng.random() < 0.5 else engine.add_request
            add(random_prompt(rng, engine), random_params(rng, engine))
        elif action < 0.25 and unfinished:
            recorder.abort_request(rng.choice(unfinished))
        elif action < 0.3 and unfinished:
            recorder.update_request(rng.choice(unfinished), temperature=rng.choice([0.0, 0.7]))
        elif unfinished or engine.num_steps_in_flight:
            try:
                if depth and next(steps, None) is None:
                    steps = recorder.run(depth)
                    next(steps)
                elif not depth:
                    recorder.step()
            except RuntimeError:
                continue
            while len(states) < len(recorder):  # a step of an exhausted run may have been two
                states.append(engine.state())
    return Played(recorder, states)
