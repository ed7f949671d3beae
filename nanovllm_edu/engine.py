"""`LLMEngine`: the three verbs of a step, and nothing else.

    step()       plan, launch, wait, commit: one step, nothing left in flight
    run(depth)   the same verbs in another order: up to `depth` steps are planned and launched
                 before the oldest is committed, so planning overlaps with the device

         depth 0   CPU  plan 0 ......... commit 0  plan 1 ......... commit 1
                   GPU         [step 0 ]                  [step 1 ]

         depth 1   CPU  plan 0  plan 1  commit 0  plan 2  commit 1  plan 3 ...
                   GPU         [step 0 ][step 1 ]        [step 2 ]

Any thread may call any verb: one lock lets them in one after the other, and whoever steps moves
everybody's sequences on. An interrupt is taken while the device works, or after the verb.

It sees a runner only through `core/model_runner.py`; it has never heard of a tensor. What comes out
is data: a `StepRecord` per step, an `EngineState` on demand. What is no step has its own file:

    intake.py              from a request to a sequence
    limits.py              what fits, and a scheduler that keeps to it
    core/in_flight.py      a launched step, until it is a record
    core/engine_state.py   the state of everything, frozen
    forking.py             the same engine once more, under other options

Read next: these five; then `runners/checksum.py`, to see the engine drive something tiny.
"""

# pyright: reportUnnecessaryIsInstance=false
# (a user's value may be of any type)

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any, Self

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.engine_state import EngineState, snapshot
from nanovllm_edu.core.events import Event
from nanovllm_edu.core.in_flight import InFlightStep
from nanovllm_edu.core.model_runner import ModelRunner
from nanovllm_edu.core.plan import StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import (
    ConfigError,
    DeviceLostError,
    EngineClosedError,
    NanoVLLMError,
    RequestError,
)
from nanovllm_edu.forking import Parts, fork_parts
from nanovllm_edu.gate import Gate
from nanovllm_edu.grammar import Grammars
from nanovllm_edu.intake import Intake, updated
from nanovllm_edu.limits import build_scheduler
from nanovllm_edu.prompt import Prompt, Tokenizer
from nanovllm_edu.shield import Shield


class LLMEngine:
    """Token ids in, token ids out, one visible step at a time."""

    def __init__(
        self,
        runner: ModelRunner,
        config: EngineConfig | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        """Builds the scheduler around a runner that already owns its weights and KV cache.

        Raises:
            ConfigError: `max_model_len` exceeds the model or the pool, or chunked prefill is off
                and a longest prompt would not fit a step.
        """
        self.config = config or EngineConfig()
        self.runner = runner
        # A pretended device brings the time in which it works (virtual/runner.py).
        self.clock: Callable[[], float] = getattr(runner, "clock", perf_counter)
        self._intake = Intake(
            tokenizer,
            runner.vocab_size,
            self.config.seed,
            self.config.max_num_seqs,
            Grammars(tokenizer, runner.vocab_size, runner.eos_token_ids),
            runner.eos_token_ids,
        )
        self.scheduler = build_scheduler(self.config, runner)
        self.max_model_len = self.scheduler.max_model_len
        self.newest_record: StepRecord | None = None
        self._in_flight: deque[InFlightStep] = deque()
        self._gate = Gate(self._end)
        self._next_seq_id = 0
        self._is_closed = False

    # ------------------------------------------------------------------ requests

    def exclusive(self) -> Gate:
        """For a `with` block between whose lines no other thread and no interrupt comes."""
        return self._gate

    def add_request(
        self, prompt: str | list[int], sampling_params: SamplingParams | None = None
    ) -> int:
        """Queues a request; it starts in a later step.

        Args:
            prompt: Text (if the engine has a tokenizer) or token ids.
            sampling_params: How to sample and when to stop.

        Returns:
            The seq_id by which steps, states and `abort_request` name it. With `n` answers it is
            that of the first; the others follow, and each is a sequence of its own.

        Raises:
            PromptTooLongError: No room is left for a generated token.
            RequestError: Empty prompt, or a token id out of range.
        """
        return self.add_requests([(prompt, sampling_params)])[0].seq_id

    def add_requests(
        self, requests: Iterable[tuple[Prompt, SamplingParams | None]]
    ) -> list[Sequence]:
        """Queues several requests, or none of them if one cannot be accepted.

        Returns:
            Their sequences, `n` for each request. Each keeps what it has come to, also when it is
            finished.

        Raises:
            RequestError: As in `add_request`.
        """
        self._check_open()
        read = self._intake.read(requests)
        seqs: list[Sequence] = []
        try:
            with self.exclusive():
                self._check_open()
                for token_ids, params in read:
                    first_id = self._next_seq_id + len(seqs)
                    seqs += self._intake.sequences(first_id, token_ids, params)
                self.scheduler.add(*seqs)
                for seq in seqs:
                    if seq.params.stop:
                        seq.judge = self._intake.judge(seq)
                self._next_seq_id += len(seqs)  # a request that is refused takes no number
            return seqs
        except BaseException:  # an interrupt that waited: nobody will ever know these numbers
            self.drop(seqs)
            raise

    def preparation(self, params: SamplingParams | None) -> Callable[[], object] | None:
        """What `add_requests` would wait for, to be called in another thread before; None: nothing.

        A grammar takes milliseconds to compile, or seconds if it is large.
        """
        return self._intake.preparation(params)

    def abort_request(self, seq_id: int) -> tuple[Event, ...]:
        """Ends a request now and frees its blocks.

        Raises:
            UnknownRequestError: It was never added, or it has finished.
        """
        with self.exclusive():
            self._check_open()
            return self.scheduler.abort(seq_id)

    def drop(self, seqs: Iterable[Sequence]) -> None:
        """Ends what is unfinished of these: their owner is gone, and nobody else asks for them.

        It waits for nobody, and may be called anywhere. It takes effect as soon as no verb runs.
        """
        self._gate.drop(seqs)

    def _end(self, seq: Sequence) -> None:
        if self.scheduler.queues.find(seq.seq_id) is seq and not self._is_closed:
            self.scheduler.abort(seq.seq_id)

    def update_request(self, seq_id: int, **changes: Any) -> SamplingParams:
        """Samples an unfinished request differently, from the next planned step on.

        Args:
            seq_id: A waiting or running sequence.
            **changes: New values of `temperature`, `top_k`, `top_p` or `min_p`.

        Returns:
            The sampling parameters now in force.

        Raises:
            UnknownRequestError: It was never added, or it has finished.
            ConfigError: Another option was to be changed, or a value is out of range.
        """
        with self.exclusive():
            self._check_open()
            params = updated(self.scheduler.sequence(seq_id).params, changes)
            self.scheduler.update_sampling(seq_id, params)
            return params

    def has_unfinished_requests(self) -> bool:
        """Whether any sequence waits or runs."""
        return bool(self.scheduler.waiting or self.scheduler.running)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What turns text into token ids and back, if it was given one."""
        return self._intake.tokenizer

    @property
    def is_closed(self) -> bool:
        """Whether its memory was given back."""
        return self._is_closed

    @property
    def is_new(self) -> bool:
        """Whether no request was ever added."""
        return self._next_seq_id == 0

    @property
    def num_steps_in_flight(self) -> int:
        """Steps that were launched and not yet committed (only inside `run`)."""
        return len(self._in_flight)

    def unfinished_seq_ids(self) -> frozenset[int]:
        """The ids of all sequences that wait or run."""
        with self.exclusive():
            return frozenset(chain(self.scheduler.waiting, self.scheduler.running))

    # --------------------------------------------------------------------- steps

    def step(self) -> StepRecord:
        """Takes one step and leaves nothing in flight that was not before.

        If an abandoned `run` left steps in flight, their records come first.

        Raises:
            Exception: Whatever the runner raised. The step's sequences are back in the queue with
                all their tokens: call `step()` again to retry, or abort them.
        """
        with self.exclusive() as shield:
            self._check_open()
            if not self._in_flight:
                self._launch(shield)
            return self._commit(shield)

    def advance(self, depth: int = 0) -> StepRecord | None:
        """Takes steps until one is committed, with up to `depth` planned ahead of it.

        Returns:
            Its record; None if there is nothing left to do.
        """
        with self.exclusive() as shield:
            while self._in_flight or self.has_unfinished_requests():
                self._check_open()
                has_room = len(self._in_flight) <= depth  # not if somebody went deeper before
                has_launched = has_room and self.has_unfinished_requests() and self._launch(shield)
                if not has_launched or len(self._in_flight) > depth:
                    return self._commit(shield)
        return None

    def run(self, depth: int = 1) -> Iterator[StepRecord]:
        """Steps until every request is finished, with up to `depth` steps planned ahead.

        Tokens are the same at any depth. Requests may be added and aborted between records. (A
        request that waits for room starts a step later with overlap, beside other rows. On a GPU
        the rounding of a product depends on how many rows it has, so there a near tie may then be
        decided otherwise.)

        Raises:
            ConfigError: `depth` is not an integer >= 0.
        """
        self._check_open()
        if not isinstance(depth, int) or isinstance(depth, bool) or depth < 0:
            raise ConfigError(f"depth={depth!r} is not an integer >= 0; 0 does not overlap.")
        return iter(partial(self.advance, depth), None)

    def _launch(self, shield: Shield) -> bool:
        """Plans a step and hands it to the device. False if there was nothing to compute."""
        begin = self.clock()
        plan = self.scheduler.plan()
        if not plan.spans and self.has_unfinished_requests():
            self.scheduler.withdraw(plan)
            if not self._in_flight:
                self._raise_stalled(plan)
            return False  # everything depends on tokens that are still in flight
        plan_seconds = self.clock() - begin
        try:
            ticket = shield.open_for(self.runner.launch, plan)
        except BaseException as error:
            self._take_back(error, plan)
            raise
        queues = self.scheduler.queues
        self._in_flight.append(InFlightStep.of(plan, ticket, queues, plan_seconds))
        return True

    def _commit(self, shield: Shield) -> StepRecord:
        """Waits for the oldest step in flight and takes in its tokens."""
        step = self._in_flight[0]
        try:
            output = shield.open_for(step.ticket.wait)
            self.scheduler.check_output(step.plan, output)
        except Exception as error:
            self._take_back(error)
            raise
        begin = self.clock()
        settled = self.scheduler.commit(step.plan, output, begin)
        self._in_flight.popleft()
        seconds = self.clock() - begin
        self.newest_record = step.record(output, settled, len(self._in_flight), seconds)
        return self.newest_record

    def _take_back(self, error: BaseException, *launching: StepPlan) -> None:
        """Undoes the plan that was not launched; or all in flight, which build on one another.

        A device that is lost had none of them, and has nothing of the other sequences either.
        """
        is_lost = isinstance(error, DeviceLostError)
        plans = [*launching]
        if is_lost or not launching:
            plans[:0] = [step.plan for step in self._in_flight]
            self._in_flight.clear()
        self.scheduler.take_back(plans, is_device_lost=is_lost)

    # ------------------------------------------------------------- look and branch

    def state(self) -> EngineState:
        """A frozen picture of queues, block tables and blocks."""
        with self.exclusive():
            return snapshot(self.scheduler)

    def fork(self, **changes: Any) -> "LLMEngine":
        """An independent engine in the same state that shares the weights.

        Without changes, or with changes of `policy`, `max_num_batched_tokens`,
        `enable_chunked_prefill`, `prefill_chunk_size`, `draft_proposer` or `seed`, it has a copy of
        the KV cache and goes on where this one is. After changes of `block_size`, `num_blocks`,
        `enable_prefix_caching`, `prefix_cache` or `eviction_policy` it starts with an empty cache
        and its sequences are computed anew.

        Raises:
            ConfigError: Another option was to be changed, or the changes do not fit.
            RequestError: Steps are in flight.
        """
        with self.exclusive():
            self._check_open()
            if self._in_flight:
                raise RequestError(
                    f"steps are in flight ({len(self._in_flight)}); take them with step() before "
                    "fork()."
                )
            parts = fork_parts(Parts(self.runner, self.config, self.scheduler), changes)
            twin = LLMEngine(parts.runner, parts.config, self.tokenizer)
            twin.scheduler, twin._next_seq_id = parts.scheduler, self._next_seq_id
            return twin

    # ------------------------------------------------------------------ life cycle

    def close(self) -> None:
        """Gives the runner's memory back. Calling it again does nothing."""
        with self.exclusive():
            if not self._is_closed:
                self._is_closed = True
                self._in_flight.clear()
                self.runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"LLMEngine({self.runner!r}, {self.runner.num_blocks} blocks of "
            f"{self.runner.block_size} tokens, max_model_len={self.max_model_len}, "
            f"policy={self.scheduler.policy!r}, {len(self.scheduler.running)} running, "
            f"{len(self.scheduler.waiting)} waiting)"
        )

    # --------------------------------------------------------------------- checks

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineClosedError("this engine is closed; make a new one.")

    def _raise_stalled(self, plan: StepPlan) -> None:
        """A policy that names nobody must not make the engine wait for ever."""
        why = plan.blocked.why if plan.blocked else "no sequence waits"
        raise NanoVLLMError(
            f"{self.scheduler.policy!r} scheduled nothing while {len(self.scheduler.running)} "
            f"sequences run and {len(self.scheduler.waiting)} wait ({why}); its order() must yield "
            "the sequences it is given."
        )
