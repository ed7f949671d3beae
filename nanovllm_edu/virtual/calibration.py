"""`Calibration`: how many seconds each piece of work takes, on one device, with one model.

    calibration = load("calibration.json")      # or shipped("cpu")
    calibration.device.of(work)                 seconds of a step on the device
    calibration.host.of(work)                   seconds that the host plans, prepares and commits it

It says what it was measured on, when, with which versions, and how wrong it was there. One of
another model or device is refused: a number without its origin is worth nothing.

Read next: `fit.py`, where the seconds come from.
"""

import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from math import isfinite
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple

from nanovllm_edu.errors import CalibrationError, of_type, shown
from nanovllm_edu.introspect.whole_file import write_whole
from nanovllm_edu.virtual.work import NAMES, Work

FORMAT, SCHEMA_VERSION = "nanovllm-edu calibration", 3
READABLE = (1, 2, 3)
"""Schema versions. Files of the first say nothing of how much steps differ, those before the third
nothing of `passes` and `large_steps`: a straight line."""
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    OverflowError,
)
"""What Python says of a file in which something is of another type, missing or too large."""

SHIPPED = Path(__file__).parent / "shipped"


class Seconds(NamedTuple):
    """Of one unit of each kind of `Work`."""

    steps: float = 0.0
    rows: float = 0.0
    kv_tokens: float = 0.0
    prompt_steps: float = 0.0
    prompts: float = 0.0
    prompt_tokens: float = 0.0
    attention_pairs: float = 0.0
    passes: float = 0.0
    large_steps: float = 0.0

    def of(self, work: Work) -> float:
        """A step's."""
        return sum(map(mul, self, work))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds, and where they come from.

    Attributes:
        device: Of the device, for one unit of each kind of work.
        host: Of the host's planning, preparing and committing.
        model: What was run.
        device_name: On what.
        date: When it was measured.
        versions: Package -> its version then.
        source: Of which steps, and how they were timed.
        num_steps: How many steps it was fitted to.
        step_error: Half of those steps were predicted within this fraction of what they took.
        total_error: Predicted sum of all steps against the measured one, as a fraction.
        spread: How much steps of the same work differ, as `virtual/irregular.py` has it; empty if
            nobody knows.
    """

    device: Seconds
    host: Seconds
    model: str
    device_name: str
    date: str
    versions: dict[str, str]
    source: str
    num_steps: int
    step_error: float
    total_error: float
    spread: tuple[float, ...] = ()

    def require(self, model: str, device_name: str) -> None:
        """Checks that it is of this model and this device.

        Raises:
            CalibrationError: It is of another one.
        """
        for what, have, want in (
            ("model", self.model, model),
            ("device", self.device_name, device_name),
        ):
            if have != want:
                raise CalibrationError(
                    f"the calibration is of another {what}, {shown(have)}, and this is "
                    f"{shown(want)}; measure this one with `nanovllm-edu calibrate`."
                )

    def to_json(self) -> str:
        """As the text of a file."""
        values = asdict(self)
        values |= {"device": self.device._asdict(), "host": self.host._asdict()}
        header = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
        return json.dumps(header | values, indent=1) + "\n"

    def __repr__(self) -> str:
        lines = [f"Calibration of {self.model} on {self.device_name}, {self.date}"]
        for name, device, host in zip(NAMES, self.device, self.host, strict=True):
            lines.append(f"  {name:<16}{1e6 * device:12.4g} us device {1e6 * host:10.4g} us host")
        lines.append(
            f"  fitted to {self.num_steps} steps: half of them within {self.step_error:.1%}, their "
            f"sum within {abs(self.total_error):.1%}"
        )
        return "\n".join(lines)


def save(calibration: Calibration, path: str | Path) -> Path:
    """Writes the file and returns its path.

    Raises:
        CalibrationError: That is none, or it cannot be written there.
    """
    of_type(calibration, Calibration, "calibration", "give what `fit` returns", CalibrationError)
    try:
        os.fspath(path)
    except TypeError as error:
        raise CalibrationError(f"path={shown(path)} is no path ({error}); give one.") from error
    return write_whole(path, calibration.to_json())


def load(path: str | Path) -> Calibration:
    """Reads a file that `save` wrote.

    Raises:
        CalibrationError: It cannot be read, is of another schema, or a value is impossible.
    """
    remedy = "give a file that `nanovllm-edu calibrate` wrote"
    try:
        found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        header = found.pop("format"), found.pop("schema_version")
        if header not in [(FORMAT, version) for version in READABLE]:
            raise CalibrationError(
                f"{path} is {shown(header)}, not {(FORMAT, SCHEMA_VERSION)}; {remedy}."
            )
        sides = {name: _seconds(found.pop(name), name) for name in ("device", "host")}
        spread = _spread(found.pop("spread", ()))
        calibration = Calibration(**sides, **found, spread=spread)
        repr(calibration)  # its errors must be numbers
        return calibration
    except CalibrationError:
        raise
    except UNREADABLE as error:
        raise CalibrationError(f"{path} is no calibration ({error!r:.200}); {remedy}.") from error


def _seconds(values: dict[str, Any], side: str) -> Seconds:
    seconds = Seconds(**{name: float(value) for name, value in values.items()})
    for name, value in seconds._asdict().items():
        if not (isfinite(value) and value >= 0):
            raise CalibrationError(
                f"{side}.{name} is {shown(value)} s; nothing takes less than no time: measure anew."
            )
    return seconds


def _spread(values: Any) -> tuple[float, ...]:
    spread = tuple(map(float, values))
    if not all(map(isfinite, spread)):
        raise CalibrationError(f"spread is {shown(spread)}, not finite numbers: measure anew.")
    return spread


def shipped(name: str) -> Calibration:
    """One that comes with the package.

    Raises:
        CalibrationError: There is none of this name.
    """
    names = sorted(path.stem for path in SHIPPED.glob("*.json"))
    if name not in names:
        raise CalibrationError(f"no calibration {shown(name)} is shipped; there are {names}.")
    return _shipped(name)


@cache
def _shipped(name: str) -> Calibration:
    return load(SHIPPED / f"{name}.json")
