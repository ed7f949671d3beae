"""`IrregularRunner`: a virtual device whose steps take a little more or less, as real ones do.

    twin_of(engine, calibration, partial(IrregularRunner, seed=1))

A sum of seconds gives each step its mean. Means and throughput are right then, and the slowest
hundredth is too quick: on a real machine those are, of all long steps, the ones that something
disturbed as well.

How much steps differ is in the calibration's `spread`: numbers, all equally likely, of which one is
drawn for each step. It is the part by which the step takes more than it should. Long steps are off
by the same part as short ones: what disturbs them is mostly a machine that is slower for a while.

Steps are drawn independently of each other. A machine that is slow for a while is not in it.

Read next: `summary.py`, what it changes.
"""

from random import Random
from typing import Any, Self

from nanovllm_edu.core.plan import StepPlan
from nanovllm_edu.virtual.arrivals import random_of
from nanovllm_edu.virtual.calibration import Calibration
from nanovllm_edu.virtual.runner import VirtualRunner, VirtualTicket


class IrregularRunner(VirtualRunner):
    """A virtual device that is as regular as the recorded one was.

    Args:
        calibration: What each piece of work takes, and how much steps differ.
        num_blocks: Blocks in the pool.
        block_size: Slots per block.
        seed: The same one gives the same run.
        **options: Of `VirtualRunner`.
    """

    def __init__(
        self,
        calibration: Calibration,
        num_blocks: int,
        block_size: int = 16,
        *,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(calibration, num_blocks, block_size, **options)
        self._random = random_of(seed)

    def launch(self, plan: StepPlan) -> VirtualTicket:
        """Takes more or less time than the work does."""
        begin = max(self.clock.now, self._device_end)
        ticket = super().launch(plan)
        ticket.end = self._device_end = begin + self.taken(ticket.end - begin)
        return ticket

    def taken(self, seconds: float) -> float:
        """What a step takes whose work takes so long."""
        spread = self.calibration.spread
        return max(0.0, seconds * (1 + self._random.choice(spread)) if spread else seconds)

    def fork(self, num_blocks: int | None = None, block_size: int | None = None) -> Self:
        """Another one, which is disturbed as this one will be."""
        twin = super().fork(num_blocks, block_size)
        twin._random = Random()
        twin._random.setstate(self._random.getstate())
        return twin
