"""`Tape`: what the C kernels are to do, written down once and done by one call ever after.

    tape = Tape(lambda: model.through_layers(hidden, ...))
    hidden.copy_(...)     # numbers, in the memory that it reads
    tape.play()           # tape.result has what they come to

Between two kernels of a step, each some microseconds long, Python prepares the next one for longer
than that. On a tape all are done without it. Only what C does is on a tape: if torch computed
something meanwhile, a later step would lack it, so that is refused. (What neither of them does,
such as a message to another process, nobody sees here: `runners/build.py` plays none on ranks.)

Tapes of one owner share the memory between their kernels (`Room`), for only one is played at a
time. In it they do as torch does: what is no longer needed is used again, so a layer writes where
the layer before it did, and finds that memory in the processor's cache.

Read next: `tape.h`; `runners/taped.py`, which uses it.
"""

import re
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nanovllm_edu.native.threads import helpers, num_threads

BLANK = frozenset({"empty", "empty_like", "new_empty"})
"""Operations that make memory and compute nothing."""

READS = frozenset({"item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__"})
"""Operations that look at numbers, which are other ones the next time."""

WRITES = re.compile(r"__setitem__|__i\w+__|\w*[a-z]_")
"""The names of operations that write, such as `x[0] = 1`, `x += 1` and `x.copy_(y)`."""

ALIGNED, CHUNK = 64, 1 << 20
"""Bytes: of a cache line, and of which a room grows at least."""


class NotOnTapeError(Exception):
    """What was to be recorded is not done by our C kernels alone; says by what."""


class Room:
    """Memory that tapes share: it grows, and nothing in it ever moves."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []

    @property
    def num_bytes(self) -> int:
        """How much there is."""
        return sum(chunk.nbytes for chunk in self.chunks)


class _Pieces:
    """Hands out a room anew, from its beginning; what torch lets go of is handed out again."""

    def __init__(self, room: Room) -> None:
        self._chunks, self._number, self._used = room.chunks, 0, 0
        self._free: dict[int, list[np.ndarray]] = defaultdict(list)

    def like(self, wanted: Tensor) -> Tensor:
        """Memory for a tensor of that shape and dtype."""
        size = -(-max(wanted.nbytes, 1) // ALIGNED) * ALIGNED
        piece = self._free[size].pop() if self._free[size] else self._cut(size)
        held = piece.view()  # what the tensor holds on to, and nobody else
        weakref.finalize(held, self._free[size].append, piece)
        return torch.from_numpy(held)[: wanted.nbytes].view(wanted.dtype).view(wanted.shape)

    def _cut(self, size: int) -> np.ndarray:
        while True:
            if self._number == len(self._chunks):
                whole = np.empty(max(size, CHUNK) + ALIGNED, np.uint8)
                self._chunks.append(whole[-whole.ctypes.data % ALIGNED :])
            chunk, begin = self._chunks[self._number], self._used
            if begin + size <= len(chunk):
                self._used += size
                return chunk[begin : begin + size]
            self._number, self._used = self._number + 1, 0


class Tape:
    """Writes down the jobs of a function. They are not done until it is played.

    Args:
        work: Reads only memory that stays where it is, and whose contents may change.
        room: What it computes lies there until another tape of this room is played; None: in a
            room of its own.

    Attributes:
        result: What `work` returned; each `play` writes it anew.

    Raises:
        NotOnTapeError: torch computed a part of it.
    """

    def __init__(self, work: Callable[[], Tensor], room: Room | None = None) -> None:
        self._room = room or Room()
        try:  # an interrupt must not leave this thread recording
            self._tape = helpers().begin_tape()
            if not self._tape:
                raise MemoryError("no memory for a tape")
            weakref.finalize(self, helpers().free_tape, self._tape)
            with _Watch(_Pieces(self._room)):
                self.result = work()
        finally:
            length = helpers().end_tape()
        if length < 0:
            raise MemoryError("no memory for a job of a tape")
        self.num_jobs = length

    def play(self) -> None:
        """Does all of it."""
        helpers().play(self._tape, num_threads())


class _Watch(TorchFunctionMode):
    """Has all memory that is made come from a room; lets torch compute nothing."""

    def __init__(self, pieces: _Pieces) -> None:
        super().__init__()
        self._pieces = pieces

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name, kwargs = func.__name__, kwargs or {}
        if name in BLANK:
            return self._pieces.like(func(*args, **{**kwargs, "device": "meta"}))
        if name in READS or WRITES.fullmatch(name) or "out" in kwargs:
            raise NotOnTapeError(f"torch reads or writes by {name}")
        result = func(*args, **kwargs)
        results = result if isinstance(result, list | tuple) else [result]
        made = [one for one in results if isinstance(one, Tensor)]
        known = {_address(given) for given in args if isinstance(given, Tensor)} if made else set()
        if not all(_address(one) in known for one in made):
            raise NotOnTapeError(f"torch computes {name}")
        return result


def _address(tensor: Tensor) -> int:
    """Where its memory begins; views share it."""
    return tensor.untyped_storage().data_ptr()
