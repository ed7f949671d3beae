"""`record_runs`: the few runs of a real engine that a calibration is fitted to.

Three batches that together hold all kinds of steps: from one row to as many as there are, contexts
short and long, prompts alone and beside others. All requests of a batch come at once, so that it is
the same on a slow device and on a fast one: rows get fewer as the short answers end.

Read next: `fit.py`, which fits to them.
"""

from collections.abc import Callable, Iterator
from random import Random
from time import perf_counter

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import of_type
from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.runners.small_steps import MOST_FOR_EACH, MOST_TOKENS
from nanovllm_edu.virtual.arrivals import Arrival, draw_tokens
from nanovllm_edu.virtual.clock import HostClock
from nanovllm_edu.virtual.serving import Server, serve


def batches(max_num_seqs: int, longest: int, vocab_size: int) -> Iterator[list[Arrival]]:
    """Many short requests, a few long ones, and a mixture that keeps the rows busy.

    Args:
        max_num_seqs: Rows of the engine.
        longest: Prompt and answer may have so many tokens.
        vocab_size: Of the model.
    """
    random = Random(0)
    answer, rows = min(150, longest // 4), min(max_num_seqs, 256)

    def request(prompt: tuple[int, int], answers: tuple[int, int]) -> Arrival:
        tokens = draw_tokens(random, random.randint(*prompt), vocab_size)
        return Arrival(0.0, tokens, random.randint(*answers))

    yield [request((5, longest // 10), (2, answer)) for _ in range(rows)]
    yield [request((longest // 4, longest // 2), (2, answer)) for _ in range(max(4, rows // 8))]
    yield [request((5, longest // 3), (1, answer // 2)) for _ in range(2 * rows)]


def play_every_tape(engine: LLMEngine) -> None:
    """Takes a small step of each size: what a runner prepares when a size comes first is done then.

    Args:
        engine: With nothing to do.
    """
    for count in range(1, MOST_TOKENS + 1):
        full, rest = divmod(count, MOST_FOR_EACH)
        prompts = [[1] * length for length in [MOST_FOR_EACH] * full + [rest] * bool(rest)]
        params = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)
        engine.add_requests([(prompt, params) for prompt in prompts])
        while engine.has_unfinished_requests():
            engine.step()


def record_runs(
    engine: LLMEngine, source: Callable[[], float] = perf_counter
) -> Iterator[Recording]:
    """Serves the batches, one after the other, and records each.

    Args:
        engine: With nothing to do.
        source: What the steps are timed by.

    Raises:
        ConfigError: That is no engine.
    """
    of_type(engine, LLMEngine, "engine", "give the engine that is to be measured")
    return _recordings(engine, source)


def _recordings(engine: LLMEngine, source: Callable[[], float]) -> Iterator[Recording]:
    before, longest = engine.clock, min(engine.max_model_len, 2048)
    rows = engine.config.max_num_seqs
    play_every_tape(engine)
    try:
        for batch in batches(rows, longest, engine.runner.vocab_size):
            engine.scheduler.block_manager.reset_prefix_cache()
            engine.clock = HostClock(source)
            server = Server(engine)
            server.recorder = Recorder(engine)
            for _ in serve(server, batch):
                pass
            yield server.recorder.recording
    finally:
        engine.clock = before
