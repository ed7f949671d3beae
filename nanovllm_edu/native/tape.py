"""`Tape`: what the C kernels did once, done again by one call.

    tape = Tape(lambda: model.through_layers(hidden, ...))
    hidden.copy_(...)     # other numbers, in the same memory
    tape.play()           # tape.result has what they come to

Between two kernels of a step, each some microseconds long, Python prepares the next one for longer
than that. On a tape all are done without it. Only what C does is on a tape: if torch computed
something meanwhile, a later step would lack it, so that is refused.

Read next: `tape.h`; `runners/taped.py`, which uses it.
"""

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nanovllm_edu.native.threads import helpers, num_threads

BLANK = frozenset({"empty", "empty_like", "new_empty"})
"""Operations that make memory and compute nothing."""


class NotOnTapeError(Exception):
    """What was to be recorded is not done by our C kernels alone; says by what."""


class Tape:
    """Records the jobs of a function, which does them meanwhile.

    Args:
        work: Reads only memory that stays where it is, and whose contents may change.

    Attributes:
        result: What `work` returned; each `play` writes it anew.

    Raises:
        NotOnTapeError: torch computed a part of it.
    """

    def __init__(self, work: Callable[[], Tensor]) -> None:
        length = -1
        try:  # an interrupt must not leave this thread recording
            self._tape = helpers().begin_tape()
            if not self._tape:
                raise MemoryError("no memory for a tape")
            weakref.finalize(self, helpers().free_tape, self._tape)
            with _Watch() as watch:
                self.result = work()
        finally:
            length = helpers().end_tape()
        if length < 0:
            raise MemoryError("no memory for a job of a tape")
        self._memory = watch.memory
        self.num_jobs = length

    def play(self) -> None:
        """Does all of it again."""
        helpers().play(self._tape, num_threads())


class _Watch(TorchDispatchMode):
    """Keeps all memory that is made, for a tape goes on using it; lets torch compute nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        results = result if isinstance(result, list | tuple) else [result]
        name = func.overloadpacket.__name__
        known = {_address(given) for given in args if isinstance(given, Tensor)}
        if name in BLANK:
            self.memory += results
        elif not all(isinstance(one, Tensor) and _address(one) in known for one in results):
            raise NotOnTapeError(f"torch computes {name}")
        elif func._schema.is_mutable:
            raise NotOnTapeError(f"torch writes by {name}")
        return result


def _address(tensor: Tensor) -> int:
    """Where its memory begins; views share it."""
    return tensor.untyped_storage().data_ptr()
