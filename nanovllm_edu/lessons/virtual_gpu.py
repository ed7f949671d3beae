"""A pretended GPU with a clock: what the host and the device do when.

    with_overlap = lanes_of(depth=1, host_ms=0.6, device_ms=2.4)
    idle_share(with_overlap)

The order of planning, launching and waiting is the engine's own: `LLMEngine.run` drives a runner
that computes checksums and lets a clock pass. Only the durations are given.

Read next: `engine.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.lessons.checks import greedy
from nanovllm_edu.runners.checksum import ChecksumRunner


class Task(NamedTuple):
    """Something that takes time. `lane` is "host" or "device"."""

    lane: str
    name: str
    step_id: int
    begin_ms: float
    end_ms: float


@dataclass(slots=True)
class VirtualTicket:
    """A step on the pretended device."""

    gpu: "VirtualGPU"
    step_id: int
    output: StepOutput
    done_ms: float

    def wait(self) -> StepOutput:
        """Lets the host's clock pass until the device is done, and then commits."""
        self.gpu.now_ms = max(self.gpu.now_ms, self.done_ms)
        self.gpu.work("commit", self.step_id)
        return self.output


class VirtualGPU(ChecksumRunner):
    """A runner on which a step takes `device_ms`, and planning and committing half a `host_ms`."""

    def __init__(self, host_ms: float, device_ms: float) -> None:
        super().__init__(num_blocks=64, block_size=4)
        self.host_ms = host_ms
        self.device_ms = device_ms
        self.now_ms = 0.0
        self.free_at_ms = 0.0
        self.tasks: list[Task] = []

    def launch(self, plan: StepPlan) -> VirtualTicket:  # type: ignore[override]
        """Queues the step behind whatever the device still has to do."""
        self.work("plan", plan.step_id)
        begin = max(self.now_ms, self.free_at_ms)
        self.free_at_ms = begin + self.device_ms
        self.tasks.append(Task("device", "step", plan.step_id, begin, self.free_at_ms))
        output = super().launch(plan).wait()
        return VirtualTicket(self, plan.step_id, output, self.free_at_ms)

    def fork(self, num_blocks: int | None = None, block_size: int | None = None) -> "VirtualGPU":
        """Another pretended device, at time 0."""
        return VirtualGPU(self.host_ms, self.device_ms)

    def work(self, name: str, step_id: int) -> None:
        """Half a `host_ms` of the host's time."""
        begin, self.now_ms = self.now_ms, self.now_ms + self.host_ms / 2
        self.tasks.append(Task("host", name, step_id, begin, self.now_ms))


def lanes_of(depth: int, host_ms: float, device_ms: float, num_steps: int = 6) -> list[Task]:
    """What host and device do when while a request of `num_steps` tokens is served."""
    gpu = VirtualGPU(host_ms, device_ms)
    engine = LLMEngine(gpu, EngineConfig(block_size=4))
    engine.add_request([1, 2, 3], greedy(num_steps))
    for _ in engine.run(depth):
        pass
    return gpu.tasks


def end_of(tasks: Sequence[Task]) -> float:
    """When the last task ends, in milliseconds."""
    return max(task.end_ms for task in tasks)


def idle_share(tasks: Sequence[Task]) -> float:
    """How much of the time the device has nothing to do."""
    busy = sum(task.end_ms - task.begin_ms for task in tasks if task.lane == "device")
    return 1 - busy / end_of(tasks)
