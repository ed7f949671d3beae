"""`Tape`: what the C kernels did once, done again by one call.

    tape = Tape(lambda: model.through_layers(hidden, ...))
    hidden.copy_(...)     # other numbers, in the same memory
    tape.play()           # tape.result has what they come to

Between two kernels of a step, each some microseconds long, Python prepares the next one for longer
than that. On a tape all are done without it. Only what C does is on a tape: if torch computed
something meanwhile, a later step would lack it, so that is refused. (What neither of them does,
such as a message to another process, nobody sees here: `runners/build.py` plays none on ranks.)

Read next: `tape.h`; `runners/taped.py`, which uses it.
"""

import re
import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from nanovllm_edu.native.threads import helpers, num_threads

BLANK = frozenset({"empty", "empty_like", "new_empty"})
"""Operations that make memory and compute nothing."""

READS = frozenset({"item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__"})
"""Operations that look at numbers, which are other ones the next time."""

WRITES = re.compile(r"__setitem__|__i\w+__|\w*[a-z]_")
"""The names of operations that write, such as `x[0] = 1`, `x += 1` and `x.copy_(y)`."""


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


class _Watch(TorchFunctionMode):
    """Keeps all memory that is made, for a tape goes on using it; lets torch compute nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.__name__
        if name in READS or WRITES.fullmatch(name) or (kwargs and "out" in kwargs):
            raise NotOnTapeError(f"torch reads or writes by {name}")
        result = func(*args, **(kwargs or {}))
        results = result if isinstance(result, list | tuple) else [result]
        made = [one for one in results if isinstance(one, Tensor)]
        if name in BLANK:
            self.memory += made
        elif made:
            known = {_address(given) for given in args if isinstance(given, Tensor)}
            if not all(_address(one) in known for one in made):
                raise NotOnTapeError(f"torch computes {name}")
        return result


def _address(tensor: Tensor) -> int:
    """Where its memory begins; views share it."""
    return tensor.untyped_storage().data_ptr()
