"""`Recorder`: keeps what an engine returns. No copies, no hooks, no patches.

    with Recorder(engine) as recorder:
        recorder.add_request([1, 2, 3])
        while engine.has_unfinished_requests():
            recorder.step()
    recorder.recording.state_at(3)

A step already returns every decision it took, so recording it is keeping a reference. A request
that was added to the engine directly is noticed at the next step; steps and aborts must go through
the recorder, because only their return values tell what happened.

Read next: `introspect/recording.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from nanovllm_edu.core.events import Event
from nanovllm_edu.core.memory.eviction import LRU
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect.fold import Fold
from nanovllm_edu.introspect.history import History, Request
from nanovllm_edu.introspect.journal import Aborted, Added, Entry, Resumed, Stepped, Updated
from nanovllm_edu.introspect.recording import Recording


class Recorder:
    """Wraps the verbs of an engine and keeps what they return.

    Args:
        engine: An `LLMEngine`, or anything whose `.engine` is one (`LLM`). It may have a past.
        past: A recording that ends where the engine stands; this one goes on with it.

    Raises:
        RecordingError: Steps are in flight.
    """

    def __init__(self, engine: Any, past: Recording | None = None) -> None:
        self.engine: LLMEngine = engine if isinstance(engine, LLMEngine) else engine.engine
        if self.engine.num_steps_in_flight:
            raise RecordingError(
                f"steps are in flight ({self.engine.num_steps_in_flight}); take them with step() "
                "before recording."
            )
        self._begin = self.engine.clock()
        self._last_seen = self.engine.newest_record
        self._initial = Fold.of_engine(self.engine, History())
        self._journal: list[Entry] = []
        self._records: list[StepRecord] = []
        self._newest = max(self._initial.sequences, default=-1)
        self._pieces: dict[int, str] = {}
        self._before: Recording | None = None
        manager = self.engine.scheduler.block_manager
        # Under LRU the order follows from the events; of another policy only the policy knows it.
        self._keeps_order = type(manager.evictable) is not LRU
        self._num_seen = 0
        if past is not None:
            self._go_on_with(past)

    def _go_on_with(self, past: Recording) -> None:
        self._initial, self._journal, self._records = past.initial, list(past.journal), [*past]
        self._newest = max(past.requests, default=-1)
        self._pieces, self._num_seen = dict(past.pieces), len(past.journal)
        self._begin -= max((getattr(entry, "seconds", 0.0) for entry in past.journal), default=0.0)

    # --------------------------------------------------------------------- the verbs

    def add_request(
        self, prompt: str | list[int], sampling_params: SamplingParams | None = None
    ) -> int:
        """Like `engine.add_request`."""
        with self.engine.exclusive():
            self._look()
            seq_id = self.engine.add_request(prompt, sampling_params)
            self._notice_requests()
            return seq_id

    def abort_request(self, seq_id: int) -> tuple[Event, ...]:
        """Like `engine.abort_request`."""
        with self.engine.exclusive():
            self._look()
            events = self.engine.abort_request(seq_id)
            self._journal.append(Aborted(events, self._eviction_order()))
            return events

    def update_request(self, seq_id: int, **changes: Any) -> SamplingParams:
        """Like `engine.update_request`."""
        with self.engine.exclusive():
            self._look()
            params = self.engine.update_request(seq_id, **changes)
            self._journal.append(Updated(seq_id, params))
            return params

    def step(self) -> StepRecord:
        """Like `engine.step`."""
        record = self._take(self.engine.step)
        assert record is not None
        return record

    def advance(self, depth: int = 0) -> StepRecord | None:
        """Like `engine.advance`."""
        return self._take(lambda: self.engine.advance(depth))

    def run(self, depth: int = 1) -> Iterator[StepRecord]:
        """Like `engine.run`: until nothing is left to do."""
        steps = self.engine.run(depth)
        while (record := self._take(lambda: next(steps, None))) is not None:
            yield record

    def forget(self, num_steps: int) -> None:
        """Lets go of the oldest steps. The recording then begins behind them.

        For whoever records an engine that runs for ever. The longest part is done while others may
        use the engine.

        Args:
            num_steps: How many; nothing may have been in flight behind the last of them.

        Raises:
            RecordingError: There are not so many, they do not follow from each other, or a step
                was in flight.
        """
        if not 0 < num_steps <= len(self):
            raise RecordingError(
                f"forget({num_steps}): there are {len(self)} steps; give a number in "
                f"[1, {len(self)}]."
            )
        if num_in_flight := self._records[num_steps - 1].num_in_flight:
            raise RecordingError(
                f"forget({num_steps}): steps were in flight then ({num_in_flight}), and a "
                "recording begins where none is."
            )
        initial = self.recording.fold_to(num_steps - 1).as_beginning()
        initial.num_planned -= num_steps
        with self.engine.exclusive():
            steps = [i for i, entry in enumerate(self._journal) if isinstance(entry, Stepped)]
            first = steps[num_steps - 1] + 1
            self._initial, self._num_seen = initial, self._num_seen - first
            self._before = None
            self._journal = [_renumbered(entry, num_steps) for entry in self._journal[first:]]
            del self._records[:num_steps]

    # -------------------------------------------------------------------- the result

    @property
    def recording(self) -> Recording:
        """Everything so far, frozen. The recorder may go on."""
        with self.engine.exclusive():
            self._look()
            self._decode_new_pieces()
            parts = self._initial, tuple(self._journal), describe(self.engine), self._pieces
            self._before = Recording(*parts, self._before)
            return self._before

    def record(self, index: int) -> StepRecord:
        """The record of a step, without freezing the rest."""
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing to undo: the engine was never touched."""

    def __repr__(self) -> str:
        return f"Recorder({self.engine!r}, {len(self)} steps)"

    # ----------------------------------------------------------------------- keeping

    def _look(self) -> None:
        """Whatever happened since the last time."""
        self._catch_up()
        self._notice_requests()

    def _take(self, verb: Callable[[], StepRecord | None]) -> StepRecord | None:
        """Takes a step. An interrupt comes while the device works, or afterwards."""
        with self.engine.exclusive():
            self._look()
            try:
                record = verb()
            except BaseException as error:
                if not self._catch_up():
                    self._resume(error)
                raise
            if record is not None:
                self._keep(record)
            return record

    def _catch_up(self) -> bool:
        """Keeps a record that was made but never reached us. Whether there was one."""
        last, newest = self._last_seen, self.engine.newest_record
        if newest is None or newest is last:
            return False
        has_failed = bool(self._journal) and isinstance(self._journal[-1], Resumed)
        is_next = has_failed or newest.step_id == (0 if last is None else last.step_id + 1)
        if is_next:
            self._keep(newest)
        return is_next

    def _keep(self, record: StepRecord) -> None:
        self._last_seen = record
        self._records.append(record)
        self._journal.append(Stepped(record, self._eviction_order(), self._now()))

    def _eviction_order(self) -> tuple[int, ...] | None:
        if not self._keeps_order:
            return None
        return tuple(self.engine.scheduler.block_manager.evictable)

    def _now(self) -> float:
        return self.engine.clock() - self._begin

    def _notice_requests(self) -> None:
        """Journals requests that joined the queue since we last looked; they are at its end."""
        waiting = self.engine.scheduler.waiting
        new: list[Added] = []
        for seq_id in reversed(waiting):
            if seq_id <= self._newest:
                break
            seq = waiting[seq_id]
            request = Request(
                seq_id, tuple(seq.token_ids), seq.num_prompt_tokens, seq.params, seq.seed
            )
            new.append(Added(request, self._now()))
        if new:
            self._newest = new[0].request.seq_id
            self._journal += reversed(new)

    def _resume(self, error: BaseException) -> None:
        """After a failure or an interrupt only the engine knows where it stands: a key frame."""
        frame = Fold.of_engine(self.engine, self._initial.history)
        frame.num_planned = len(self) + self.engine.num_steps_in_flight
        self._journal.append(Resumed(frame, f"{type(error).__name__}: {error}"))

    def _decode_new_pieces(self) -> None:
        tokenizer = self.engine.tokenizer
        new, self._num_seen = self._journal[self._num_seen :], len(self._journal)
        if tokenizer is None:
            return
        token_ids = set[int]()
        if not self._pieces:
            requests = self._initial.history.requests.values()
            token_ids.update(*(request.token_ids for request in requests))
        for entry in new:
            if isinstance(entry, Added):
                token_ids.update(entry.request.token_ids)
            elif isinstance(entry, Stepped):
                token_ids.update(*entry.record.new_tokens.values())
        # Each token by itself, special ones included: a view shows what is there.
        missing = sorted(token_ids - self._pieces.keys())
        self._pieces.update(zip(missing, tokenizer.pieces(missing), strict=True))


def _renumbered(entry: Entry, num_steps: int) -> Entry:
    """The same entry in a recording that begins so many steps later."""
    if not isinstance(entry, Resumed):
        return entry
    frame = entry.frame.copy()
    frame.num_planned -= num_steps
    return Resumed(frame, entry.why)


def describe(engine: LLMEngine) -> Mapping[str, Any]:
    """What an engine is, as plain JSON-ready values."""
    config, runner = engine.config, engine.runner
    made_of = getattr(runner, "made_of", None)  # a pretended model is made of nothing
    return {
        **(made_of._asdict() if made_of else {}),
        "runner": type(runner).__name__,
        "num_blocks": runner.num_blocks,
        "block_size": runner.block_size,
        "max_num_seqs": config.max_num_seqs,
        "max_num_batched_tokens": config.max_num_batched_tokens,
        "max_model_len": engine.max_model_len,
        "enable_prefix_caching": config.enable_prefix_caching,
        "prefix_cache": config.prefix_cache,
        "enable_chunked_prefill": config.enable_chunked_prefill,
        "policy": type(engine.scheduler.policy).__name__,
        "eviction_policy": type(engine.scheduler.block_manager.evictable).__name__,
    }
