"""`Rewinder`: the engine as it was after an earlier step, made again by taking the same steps.

    start  =  a blank twin of a new engine, or a copy of one that had a past
    engine after step k  =  start  +  the requests and steps of the recording up to k

A record holds what was decided, not the keys and values that the device computed, so those are
computed anew. That is exact: the same requests in the same order give the same steps, and each one
is compared with its record on the way. It costs as much time as the steps did, and no memory until
somebody asks.

Read next: `introspect/branch.py`, an engine and its fork.
"""

from copy import deepcopy
from dataclasses import replace

from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RecordingError
from nanovllm_edu.introspect.journal import Aborted, Added, Entry, Resumed, Stepped, Updated
from nanovllm_edu.introspect.recording import Recording


class Rewinder:
    """Remembers where an engine stands now, to start from there again.

    Args:
        engine: Nothing may be in flight. If it has a past, its KV cache is copied now.
    """

    def __init__(self, engine: LLMEngine) -> None:
        self._engine = engine
        self._past = None if engine.is_new else engine.fork()
        self._policy = deepcopy(engine.scheduler.policy)  # it may change with what it sees

    def engine_at(self, recording: Recording, index: int) -> LLMEngine:
        """An engine of its own, in the state right after `recording[index]`.

        Args:
            recording: Of the engine, begun at the same moment as this rewinder.
            index: In [-1, len(recording)); -1 is the moment before the first step.

        Raises:
            RecordingError: A step cannot be repeated, or comes out different.
        """
        engine = self._start()
        for entry in recording.entries_to(index):
            _repeat(engine, entry)
        return engine

    def close(self) -> None:
        """Frees the copy of the engine, if there is one, and lets go of the engine."""
        if self._past is not None:
            self._past.close()
        self.__dict__.clear()

    def _start(self) -> LLMEngine:
        if self._past is not None:
            return self._past.fork()
        engine = self._engine
        runner = engine.runner.fork(engine.runner.num_blocks, engine.runner.block_size)
        config = replace(engine.config, policy=deepcopy(self._policy))
        return LLMEngine(runner, config, engine.tokenizer)


def _repeat(engine: LLMEngine, entry: Entry) -> None:
    match entry:
        case Added():
            request = entry.request
            if engine.scheduler.queues.find(request.seq_id) is None:  # else it came with the first
                engine.add_request(list(request.token_ids), request.params)
        case Aborted():
            engine.abort_request(entry.events[0].seq_id)
        case Updated():
            params = entry.params
            engine.update_request(
                entry.seq_id,
                temperature=params.temperature,
                top_k=params.top_k,
                top_p=params.top_p,
                min_p=params.min_p,
            )
        case Stepped():
            _repeat_step(engine, entry)
        case Resumed():
            raise RecordingError(
                f"a step failed here ({entry.why}), and a failure cannot be repeated; go on from "
                "the newest step instead."
            )


def _repeat_step(engine: LLMEngine, entry: Stepped) -> None:
    expected = entry.record
    if expected.num_in_flight:
        raise RecordingError(
            f"step {expected.step_id} was committed with later ones already planned; only steps "
            "taken with step() can be repeated."
        )
    if engine.step() != expected:
        raise RecordingError(
            f"step {expected.step_id} came out different when it was repeated: the engine's policy "
            "or runner does not decide the same way twice; go on from the newest step instead."
        )
