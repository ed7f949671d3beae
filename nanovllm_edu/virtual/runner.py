"""`VirtualRunner`: a device that computes nothing and takes the time that the real one would.

    runner = VirtualRunner(shipped("cpu"), num_blocks=512)
    engine = LLMEngine(runner, EngineConfig())
    engine.clock() is the time of its world, in seconds

Scheduler, block manager, policies and events are the real ones: only the tokens are not. They are
all alike, or those of another runner (`tokens=ChecksumRunner(...)` executes the whole protocol),
and answers end by their length.

The host and the device have a clock each. `launch` puts the host forward by what planning and
preparing took, and the step behind whatever the device has still to do; `wait` puts it forward to
the end of that step. So planning ahead (`engine.run(1)`) overlaps here as it does on a GPU.

Read next: `irregular.py`, `arrivals.py`, `serving.py`; `runners/checksum.py`.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from itertools import compress
from typing import Self

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.model_runner import ModelRunner
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import CalibrationError, ConfigError, of_type, shown
from nanovllm_edu.virtual.calibration import Calibration
from nanovllm_edu.virtual.clock import VirtualClock
from nanovllm_edu.virtual.work import work_of

LOAD_ONE = "give shipped('cpu'), or what `virtual.calibration.load(path)` returns"
TOKEN = (1,)
"""What every sequence gets, if nobody else makes tokens."""


@dataclass(slots=True)
class VirtualTicket:
    """A step of which is known when it will be done."""

    clock: VirtualClock
    output: StepOutput
    end: float

    def wait(self) -> StepOutput:
        """Lets the time pass until then."""
        self.clock.skip_to(self.end)
        return self.output


class VirtualRunner:
    """A `ModelRunner` on a clock of its own.

    Args:
        calibration: What each piece of work takes.
        num_blocks: Blocks in the pool.
        block_size: Slots per block.
        vocab_size: Token ids are in [0, vocab_size).
        max_model_len: Positions it accepts.
        tokens: Makes the tokens; its own time does not count.
        clock: Where it goes on; None begins at 0.

    Raises:
        CalibrationError: That is none.
        ConfigError: A pool cannot be of that many blocks, or of that size.
    """

    def __init__(
        self,
        calibration: Calibration,
        num_blocks: int,
        block_size: int = 16,
        *,
        vocab_size: int = 1 << 31,
        max_model_len: int = 1 << 20,
        tokens: ModelRunner | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        of_type(calibration, Calibration, "calibration", LOAD_ONE, CalibrationError)
        for name, value in (("num_blocks", num_blocks), ("block_size", block_size)):
            if (as_integer(value) or 0) < 1:
                raise ConfigError(f"{name}={shown(value)} is not an integer from 1 on.")
        self.calibration = calibration
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.vocab_size = vocab_size
        self.max_model_len = max_model_len
        self.eos_token_ids: frozenset[int] = frozenset()
        self.clock = clock or VirtualClock()
        self._tokens = tokens
        self._device_end = 0.0

    def launch(self, plan: StepPlan) -> VirtualTicket:
        """Puts the step behind those that the device still has to do."""
        work = work_of(plan)
        host, device = self.calibration.host.of(work), self.calibration.device.of(work)
        self.clock.now += host
        self._device_end = max(self.clock.now, self._device_end) + device
        timings = {"prepare": host, "forward": device}
        return VirtualTicket(self.clock, self._output(plan, timings), self._device_end)

    def _output(self, plan: StepPlan, timings: dict[str, float]) -> StepOutput:
        if self._tokens is not None:
            made = self._tokens.launch(plan).wait()
            return StepOutput(made.tokens, made.logprobs, made.errors, timings)
        spans = plan.spans
        sampled = compress(spans.seq_ids, spans.are_sampled)
        return StepOutput(dict.fromkeys(sampled, TOKEN), timings=timings)

    def fork(self, num_blocks: int | None = None, block_size: int | None = None) -> Self:
        """Another one at the same time of day."""
        twin = copy(self)
        twin.num_blocks = num_blocks or self.num_blocks
        twin.block_size = block_size or self.block_size
        twin.clock = VirtualClock(self.clock.now)
        twin._tokens = self._tokens and self._tokens.fork(num_blocks, block_size)
        return twin

    def close(self) -> None:
        """Nothing to give back but what the tokens came from."""
        if self._tokens is not None:
            self._tokens.close()

    def __repr__(self) -> str:
        return f"VirtualRunner({self.calibration.model} on {self.calibration.device_name})"


def virtual_engine(calibration: Calibration, num_blocks: int, **options: object) -> LLMEngine:
    """An engine on a virtual device.

    Args:
        calibration: Of the device.
        num_blocks: Blocks in its pool.
        **options: Fields of `EngineConfig`.
    """
    config = EngineConfig.from_options(dict(options))
    return LLMEngine(VirtualRunner(calibration, num_blocks, config.block_size), config)


def twin_of(
    engine: LLMEngine,
    calibration: Calibration,
    make: Callable[..., VirtualRunner] = VirtualRunner,
) -> LLMEngine:
    """The virtual twin of a real engine: the same pool, limits and policy, nothing in it.

    Args:
        engine: The real one.
        calibration: Of its device.
        make: Makes the virtual device; by default one whose steps take what their work takes.

    Raises:
        ConfigError: That is no engine.
        CalibrationError: The calibration is none, or of another model or device.
    """
    of_type(engine, LLMEngine, "engine", "give the engine that it is to be like")
    of_type(calibration, Calibration, "calibration", LOAD_ONE, CalibrationError)
    real, made_of = engine.runner, getattr(engine.runner, "made_of", None)
    if made_of is not None:
        calibration.require(*made_of)
    runner = make(
        calibration,
        real.num_blocks,
        real.block_size,
        vocab_size=real.vocab_size,
        max_model_len=real.max_model_len,
    )
    return LLMEngine(runner, engine.config)
