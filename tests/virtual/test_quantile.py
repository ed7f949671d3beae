import pytest

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.virtual.quantile import quantile


def test_it_is_the_smallest_value_that_so_many_do_not_exceed():
    ranked = [float(value) for value in range(1, 101)]
    asked = (0.0, 0.07, 0.5, 0.9, 0.99, 0.991, 1.0)
    assert [quantile(ranked, q) for q in asked] == [1, 7, 50, 90, 99, 100, 100]
    assert quantile(iter([3, 1, 4, 2]), 0.5) == 2
    assert quantile([3.0], 0.5) == 3.0
    assert quantile([], 0.5) == 0


@pytest.mark.parametrize("q", [-0.1, 1.1, 99, float("nan"), "half", None, True])
def test_what_is_no_fraction_is_refused(q: float):
    with pytest.raises(ConfigError, match="is not a fraction from 0 to 1; the p99 is"):
        quantile([1.0], q)


def test_what_are_no_values_is_refused():
    with pytest.raises(ConfigError, match="values=5 is no list"):
        quantile(5, 0.5)  # type: ignore[arg-type]
