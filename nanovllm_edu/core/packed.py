"""The large parts of a `StepRecord`, kept in few objects: a thousand records must cost nothing.

A step of 256 sequences has 256 chunks, 256 sampled tokens and 256 block tables. As one object each
they would be cheap to make and dear to *keep*: Python's garbage collector walks every kept object
again and again. So a record keeps them packed, and makes the objects when somebody reads them.

    chunks         one tuple per field instead of one tuple per chunk; a field that says the same as
                   in the step before is that step's tuple
    events         what the step's plan and result hold anyway, as plain tuples
    block tables   each sequence's tuple, which is the same one until its table changes

Nobody outside sees the difference, but one: `record.chunks` and `record.events` are made anew each
time they are read, so a loop should read them once.

Read next: `core/step_record.py`.
"""

from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar, overload

from nanovllm_edu.core.events import Event, unpack_events
from nanovllm_edu.core.plan import Chunk, StepPlan, StepResult

Value = TypeVar("Value")
Unpacked = TypeVar("Unpacked", covariant=True)


class Packed(Protocol[Unpacked]):
    """A value in fewer objects."""

    def unpack(self) -> Unpacked:
        """The value itself."""
        ...


class PackedField(Generic[Value]):
    """A dataclass field that takes its value packed or not, and is always read unpacked."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = f"_{name}"

    @overload
    def __get__(self, record: None, owner: type) -> "PackedField[Value]": ...

    @overload
    def __get__(self, record: object, owner: type) -> Value: ...

    def __get__(self, record: object, owner: type) -> Any:
        if record is None:
            raise AttributeError(self._place)  # so that `dataclass` sees a field without a default
        value = getattr(record, self._place)
        return value.unpack() if hasattr(value, "unpack") else value

    def __set__(self, record: object, value: Value | Packed[Value]) -> None:
        object.__setattr__(record, self._place, value)


class PackedChunks:
    """Chunks as columns. A column equal to that of the step before is the same object."""

    __slots__ = ("columns",)

    def __init__(self, chunks: Iterable[Chunk], before: "PackedChunks | None" = None) -> None:
        columns = tuple(zip(*chunks, strict=True))
        known = (before and before.columns) or columns
        self.columns = tuple(map(_known_if_equal, known, columns))

    def unpack(self) -> tuple[Chunk, ...]:
        return tuple(map(Chunk._make, zip(*self.columns, strict=True)))


class PackedEvents:
    """The events of a step's plan, then those of its result."""

    __slots__ = ("planned", "result")

    def __init__(self, plan: StepPlan, result: StepResult) -> None:
        self.planned, self.result = plan.packed_events, result

    def unpack(self) -> tuple[Event, ...]:
        return unpack_events(self.planned) + self.result.events


class PackedTables:
    """Block tables, in the order of their sequences."""

    __slots__ = ("seq_ids", "tables")

    def __init__(self, seq_ids: tuple[int, ...], tables: tuple[tuple[int, ...], ...]) -> None:
        self.seq_ids, self.tables = seq_ids, tables

    def unpack(self) -> dict[int, tuple[int, ...]]:
        return dict(zip(self.seq_ids, self.tables, strict=True))


def _known_if_equal(known: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[Any, ...]:
    return known if len(known) == len(new) and known == new else new
