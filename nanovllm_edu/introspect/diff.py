"""What changed between two states or two records, field by field.

    diff(recording.state_at(3), recording.state_at(4))

Read next: `introspect/text.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nanovllm_edu.core import html
from nanovllm_edu.core.engine_state import EngineState
from nanovllm_edu.core.events import counted
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs; None where it is missing on one side."""

    path: str
    before: Any
    after: Any

    def __repr__(self) -> str:
        return f"{self.path}: {_shown(self.before)} → {_shown(self.after)}"


@dataclass(frozen=True, slots=True)
class Diff:
    """All changes, in a fixed order. Empty (and false) when both sides are equal."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.changes)) or "no change"

    def _repr_html_(self) -> str:
        rows = [(c.path, _shown(c.before), _shown(c.after)) for c in self.changes]
        return html.table(counted(len(rows), "change"), ("what", "before", "after"), rows)


def diff(before: Any, after: Any) -> Diff:
    """Compares two `EngineState`s or two `StepRecord`s. Measured times are not compared.

    Raises:
        ConfigError: They are not two of the same kind.
    """
    if type(before) is not type(after) or not isinstance(before, (EngineState, StepRecord)):
        raise ConfigError(
            f"diff of {type(before).__name__} and {type(after).__name__}: give two EngineStates "
            "or two StepRecords."
        )
    left, right = _named(before), _named(after)
    return Diff(tuple(_changes("", left, right)))


def _named(value: EngineState | StepRecord) -> dict[str, Any]:
    """As nested dicts, in which blocks go by name and not by place."""
    values = value.to_dict()
    values.pop("timings", None)
    if "blocks" in values:
        values["block"] = {str(block.pop("block_id")): block for block in values.pop("blocks")}
        values["seq"] = values.pop("sequences")
    return values


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            name = f"{path} {key}" if path else key
            yield from _changes(name, before.get(key), after.get(key))
    elif isinstance(before, dict) or isinstance(after, dict):
        yield Change(path, _brief(before), _brief(after))
    elif before != after:
        yield Change(path, before, after)


def _brief(value: Any) -> Any:
    """A sequence or block that came or went: its most telling field."""
    if not isinstance(value, dict):
        return value
    return value.get("status") or value.get("state") or "present"


def _shown(value: Any) -> str:
    return "—" if value is None else str(value)
