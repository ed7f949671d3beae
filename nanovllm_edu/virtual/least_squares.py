"""Least squares with constants that are never negative: nothing takes less than no time.

`nonnegative(rows, values)` finds the `x >= 0` for which the sum of `(row · x - value)²` is
smallest. The solution of such a problem is an ordinary least-squares solution on the columns that
it uses, and zero elsewhere. With nine columns there are 511 ways to choose them: all are tried,
and the best one without a negative number is the answer. (Larger problems walk from one choice to
the next: Lawson and Hanson, 1974.)

It knows nothing of time. Read next: `fit.py`.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

from nanovllm_edu.errors import CalibrationError, shown

Vector = Sequence[float]


def nonnegative(rows: Iterable[Vector], values: Iterable[float]) -> list[float]:
    """The constants, one a column.

    Args:
        rows: Each of `n` numbers; a dozen columns at most.
        values: What each row should come to.

    Raises:
        CalibrationError: They are not as many rows as values, or not numbers.
    """
    try:
        gram, target = _normal_equations(rows, values)
    except (TypeError, ValueError, IndexError) as error:
        raise CalibrationError(
            f"rows={shown(rows)} and values={shown(values)} are no equations ({error}); give as "
            "many values as rows, and rows of equally many numbers."
        ) from error
    count = len(target)
    best, least = [0.0] * count, 0.0
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            found = _solve(
                [[gram[i][j] for j in chosen] for i in chosen], [target[i] for i in chosen]
            )
            if found is None or min(found) < 0:
                continue
            # At a least-squares solution the squared error is a constant less x · target.
            error = -sum(x * target[i] for x, i in zip(found, chosen, strict=True))
            if error < least * (1 + 1e-12):
                least, best = error, [0.0] * count
                for x, i in zip(found, chosen, strict=True):
                    best[i] = x
    return best


def _normal_equations(
    rows: Iterable[Vector], values: Iterable[float]
) -> tuple[list[list[float]], list[float]]:
    """The products of all pairs of columns, and of each column with the values."""
    gram: list[list[float]] = []
    target: list[float] = []
    for row, value in zip(rows, values, strict=True):
        if not gram:
            gram, target = [[0.0] * len(row) for _ in row], [0.0] * len(row)
        for i, x in enumerate(row):
            if x:
                target[i] += x * value
                for j, y in enumerate(row):
                    gram[i][j] += x * y
    return gram, target


def _solve(matrix: list[list[float]], vector: list[float]) -> list[float] | None:
    """Gaussian elimination with pivots; None if columns say the same thing twice."""
    size = len(vector)
    scales = [matrix[i][i] ** 0.5 or 1.0 for i in range(size)]
    work = [
        [matrix[i][j] / scales[i] / scales[j] for j in range(size)] + [vector[i] / scales[i]]
        for i in range(size)
    ]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(work[k][i]))
        work[i], work[pivot] = work[pivot], work[i]
        if abs(work[i][i]) < 1e-9:
            return None
        for k in range(i + 1, size):
            factor = work[k][i] / work[i][i]
            work[k] = [a - factor * b for a, b in zip(work[k], work[i], strict=True)]
    solution = [0.0] * size
    for i in reversed(range(size)):
        known = sum(work[i][j] * solution[j] for j in range(i + 1, size))
        solution[i] = (work[i][size] - known) / work[i][i]
    return [x / scale for x, scale in zip(solution, scales, strict=True)]
