"""What a notebook does with an engine, to be interrupted at every line, and what must hold then.

    generate, stream, verbs      do something, from the first line to the last
    check                        the books, ghosts, lost tokens, and the next run

Each scenario runs on an engine of its own, small enough to preempt, evict and cut prompts.
"""

import signal
from collections.abc import Callable
from typing import Any

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.llm import LLM
from tests.proof.books import check_books, check_idle
from tests.proof.interrupts import Injector
from tests.proof.parts import ProofRunner
from tests.proof.small_llm import right, small_llm

PROMPTS = [[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 9], [8]]
GREEDY = SamplingParams(temperature=0.0, max_tokens=4)


class Half:
    """Guesses the next token right and the one behind it wrong."""

    def propose(self, token_ids: Any, num_tokens: int) -> list[int]:
        tokens = list(token_ids)
        for prompt in PROMPTS:
            truth = prompt + RIGHT[tuple(prompt)]
            if tokens == truth[: len(tokens)]:
                return [*truth[len(tokens) :][:1], 0]
        return []


RIGHT = {tuple(prompt): right(prompt, GREEDY) for prompt in PROMPTS}

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "tight": {"num_blocks": 5, "max_num_batched_tokens": 4, "depth": 1, "prefix_cache": "radix"},
    "guesses": {"num_blocks": 6, "draft_proposer": Half(), "depth": 1},
    "deep": {"num_blocks": 7, "max_num_seqs": 2, "depth": 3, "block_size": 2},
}


class Stage:
    """One engine, what its commits settled, and what its user was given.

    Attributes:
        settled: seq_id -> the tokens that commits have appended, as they returned them.
        seqs: seq_id -> each sequence that ever was.
        read: seq_id -> the tokens that a stream's reader has.
        known: seq_ids that the user was told.
    """

    def __init__(self, shape: str) -> None:
        options = dict(SHAPES[shape])
        depth = options.pop("depth", 0)
        size = options.pop("block_size", 4)
        runner = ProofRunner(options.pop("num_blocks", 16), size, num_groups=1, vocab_size=1000)
        options |= {"num_blocks": runner.num_blocks, "block_size": size}
        self.llm: LLM = small_llm(depth, runner, **options)
        self.settled: dict[int, list[int]] = {}
        self.read: dict[int, list[int]] = {}
        self.known: set[int] = set()
        self.outputs: list[Any] | None = None
        scheduler = self.llm.engine.scheduler
        commit = scheduler.commit

        def logged(*args: Any) -> Any:
            done = commit(*args)
            for seq_id, tokens in done.new_tokens.items():
                self.settled.setdefault(seq_id, []).extend(tokens)
            return done

        scheduler.commit = logged  # type: ignore[method-assign]

    def take(self, piece: Any) -> None:
        self.read.setdefault(piece.request_id, []).append(piece.token_id)


def generate(stage: Stage) -> None:
    stage.outputs = stage.llm.generate(PROMPTS, GREEDY, use_tqdm=False)


def stream(stage: Stage) -> None:
    """One that is read to its end, and one inside it that is dropped."""
    dropped = stage.llm.stream(PROMPTS[:1], GREEDY)
    stage.take(next(dropped))
    for piece in stage.llm.stream(PROMPTS[1:], GREEDY):
        stage.take(piece)
    dropped.close()


def verbs(stage: Stage) -> None:
    """By hand."""
    engine = stage.llm.engine
    for prompt in PROMPTS:
        stage.known.add(engine.add_request(prompt, GREEDY))
    first = min(stage.known)
    engine.step()
    engine.update_request(first, top_k=3)
    engine.abort_request(first)
    engine.state()
    for _ in engine.run(2):
        pass


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    "generate": generate,
    "stream": stream,
    "verbs": verbs,
}


def num_lines(scenario: str, shape: str) -> int:
    """How many lines it executes."""
    stage = Stage(shape)
    with Injector() as injector:
        SCENARIOS[scenario](stage)
    check(stage, None)
    return injector.num_lines


def interrupt(scenario: str, shape: str, *at: int) -> str:
    """Runs it with interrupts before these lines and checks everything; returns the last place."""
    stage, caught = Stage(shape), None
    with Injector(*at) as injector:
        try:
            SCENARIOS[scenario](stage)
        except KeyboardInterrupt as error:
            caught = error.with_traceback(None)
    try:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "a handler is left"
        assert caught is not None or not injector.place, "the interrupt was swallowed"
        check(stage, caught)
    except BaseException as error:
        error.add_note(f"{scenario}, {shape}: interrupted before lines {at}, {injector.place}")
        raise
    finally:
        vars(stage.llm.engine.scheduler).pop(
            "commit"
        )  # a circle that only the collector would open
    return injector.place


def check(stage: Stage, caught: BaseException | None) -> None:
    """What must hold after a scenario, whole or interrupted."""
    engine = stage.llm.engine
    engine.scheduler.check_invariants()
    check_books(engine)
    assert engine.unfinished_seq_ids() <= stage.known, "a ghost: unfinished, and nobody owns it"
    _check_nothing_is_lost(stage, caught)
    stage.llm.abort_all()
    outputs = stage.llm.generate(PROMPTS, GREEDY, use_tqdm=False)
    assert [output.token_ids for output in outputs] == [RIGHT[tuple(p)] for p in PROMPTS]
    while engine.num_steps_in_flight:
        engine.step()
    check_idle(engine)


def _check_nothing_is_lost(stage: Stage, caught: BaseException | None) -> None:
    """Each settled token was handed out or is in `interrupted()`, and is the right one."""
    told = {output.request_id: output for output in stage.llm.interrupted()}
    given = {output.request_id: output for output in stage.outputs or ()}
    for seq_id, tokens in stage.settled.items():
        readable = told.get(seq_id) or given.get(seq_id)
        if readable is not None:
            assert readable.token_ids == tokens, "interrupted() tells of other tokens"
            assert RIGHT[tuple(readable.prompt_token_ids)][: len(tokens)] == tokens
        elif seq_id in stage.read:
            assert stage.read[seq_id] == tokens[: len(stage.read[seq_id])]
        else:
            assert seq_id in stage.known, f"the tokens of seq {seq_id} cannot be read any more"
    if caught is None:
        assert not told
