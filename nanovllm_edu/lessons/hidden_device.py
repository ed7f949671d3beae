"""A device of which nobody tells how fast it is: for finding out.

    engine = hidden_engine(seed=17)
    recording = record(engine, arrivals)     the steps, and how long each took

Its seconds are drawn from the seed, and every step takes a little more or less than they say, as
real ones do. It is a virtual device, so everybody measures the same.

Read next: `virtual/fit.py`, which finds the seconds.
"""

from collections.abc import Iterable
from random import Random

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.introspect.recording import Recording
from nanovllm_edu.virtual.arrivals import Arrival
from nanovllm_edu.virtual.calibration import Calibration, Seconds
from nanovllm_edu.virtual.irregular import IrregularRunner
from nanovllm_edu.virtual.serving import Server, serve

NOISE = 0.04
"""A step takes up to this fraction more or less than its work."""


class MadeOf:
    """What a recording of it says that it is of."""

    def _asdict(self) -> dict[str, str]:
        return {"model": "a hidden model", "device": "a hidden device"}


class HiddenRunner(IrregularRunner):
    """A virtual device that is not quite regular."""

    made_of = MadeOf()

    def taken(self, seconds: float) -> float:
        """A little more or less than the work does."""
        return seconds * (1 + self._random.uniform(-NOISE, NOISE))


def hidden_seconds(random: Random) -> Seconds:
    """Those of some GPU: milliseconds a step, microseconds a row, tens of nanoseconds a token."""
    return Seconds(
        steps=random.uniform(1e-3, 4e-3),
        rows=random.uniform(2e-5, 6e-5),
        kv_tokens=random.uniform(1e-7, 4e-7),
        prompt_steps=random.uniform(5e-4, 1e-3),
        prompt_tokens=random.uniform(5e-6, 2e-5),
        attention_pairs=random.uniform(1e-9, 4e-9),
    )


def of_seconds(device: Seconds) -> Calibration:
    """A calibration that says nothing but the seconds."""
    name = MadeOf()._asdict()
    return Calibration(
        device=device,
        host=Seconds(),
        model=name["model"],
        device_name=name["device"],
        date="",
        versions={},
        source="drawn",
        num_steps=0,
        step_error=0.0,
        total_error=0.0,
    )


def hidden_engine(seed: int, num_blocks: int = 256, max_num_seqs: int = 32) -> LLMEngine:
    """An engine on a hidden device.

    Args:
        seed: Of the device.
        num_blocks: Blocks of 16 tokens in its pool.
        max_num_seqs: Rows.
    """
    runner = HiddenRunner(of_seconds(hidden_seconds(Random(seed))), num_blocks, seed=seed)
    return LLMEngine(runner, EngineConfig(max_num_seqs=max_num_seqs, max_num_batched_tokens=512))


def record(engine: LLMEngine, arrivals: Iterable[Arrival]) -> Recording:
    """Serves requests and keeps every step."""
    server = Server(engine)
    server.recorder = Recorder(engine)
    for _ in serve(server, arrivals):
        pass
    return server.recorder.recording
