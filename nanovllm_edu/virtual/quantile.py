"""`quantile`: the value that so many do not exceed.

It is a value that occurred, none between two: a user waited as long. The p99 of 150 waits is the
second longest of them.

Read next: `summary.py`, `load/report.py`.
"""

from collections.abc import Iterable
from math import ceil

from nanovllm_edu.core.request.option_checks import is_number
from nanovllm_edu.errors import ConfigError, listed, shown


def quantile(values: Iterable[float], q: float) -> float:
    """The smallest value that at least a fraction `q` of them does not exceed; 0 if there is none.

    Args:
        values: In any order.
        q: From 0 to 1; 0.99 for the p99.

    Raises:
        ConfigError: `q` is no such fraction, or the values are not several.
    """
    if not is_number(q) or not 0 <= q <= 1:
        raise ConfigError(f"q={shown(q)} is not a fraction from 0 to 1; the p99 is 0.99.")
    ranked = sorted(listed(values, "values", ConfigError))
    if not ranked:
        return 0.0
    rank = ceil(round(q * len(ranked), 9))  # 0.07 * 100 is a little more than 7
    return ranked[max(rank - 1, 0)]
