from random import Random
from typing import Any

import numpy as np
import pytest

from nanovllm_edu.errors import CalibrationError
from nanovllm_edu.virtual.least_squares import nonnegative


def random_problem(seed: int) -> tuple[list[list[float]], list[float]]:
    rng = Random(seed)
    rows = [[rng.random() * 10**k for k in range(4)] for _ in range(30)]
    signs = [rng.choice((-1, 1)) * rng.random() / 10**k for k in range(4)]
    return rows, [sum(map(float.__mul__, row, signs)) + rng.gauss(0, 0.1) for row in rows]


def test_what_is_a_sum_is_found_exactly():
    rows, constants = random_problem(0)[0], [3.0, 0.0, 0.5, 0.25]
    values = [sum(map(float.__mul__, row, constants)) for row in rows]
    assert nonnegative(rows, values) == pytest.approx(constants, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_near_it_that_is_not_negative_is_better(seed: int):
    """The conditions of Karush, Kuhn and Tucker: a zero would get worse, all else is level."""
    rows, values = random_problem(seed)
    found = np.array(nonnegative(rows, values))
    matrix = np.array(rows)
    slope = matrix.T @ (matrix @ found - np.array(values))
    scale = np.linalg.norm(matrix, axis=0) * np.linalg.norm(values)
    assert (found >= 0).all()
    assert (slope / scale >= -1e-9).all()
    assert abs(slope[found > 0] / scale[found > 0]).max(initial=0) < 1e-9


def test_columns_that_say_the_same_are_used_once():
    found = nonnegative([[1, 1], [2, 2], [3, 3]], [2, 4, 6])
    assert sum(found) == pytest.approx(2)


def test_nothing_that_helps_is_all_zero():
    assert nonnegative([[1.0], [2.0]], [-1.0, -2.0]) == [0.0]


@pytest.mark.parametrize(
    ("rows", "values"), [(5, [1.0]), ([[1.0]], None), ([[1.0]], []), ([["a"]], [1.0])]
)
def test_what_are_no_equations_is_refused(rows: Any, values: Any):
    with pytest.raises(CalibrationError, match=r"are no equations .*; give as many values as rows"):
        nonnegative(rows, values)
