from itertools import islice, pairwise
from random import Random
from statistics import mean, pstdev

from nanovllm_edu.load import arrivals as load
from nanovllm_edu.virtual.arrivals import poisson
from nanovllm_edu.virtual.poisson import poisson_times


def test_gaps_are_exponential_and_nobody_waits_for_the_end_of_all():
    times = [0.0, *islice(poisson_times(20, Random(1)), 20_000)]
    gaps = [after - before for before, after in pairwise(times)]
    assert abs(mean(gaps) * 20 - 1) < 0.03
    assert abs(pstdev(gaps) * 20 - 1) < 0.03  # that of an exponential is its mean


def test_a_load_and_a_virtual_run_have_the_same_crowd():
    asked = list(islice(poisson_times(5, Random(3)), 50))
    assert load.poisson(5, 51, seed=3) == [0.0, *asked]
    assert next(poisson(5, 1, (1, 1), (1, 1), seed=3)).at == asked[0]
