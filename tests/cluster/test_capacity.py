import pytest

from nanovllm_edu.cluster import Cluster, LeastTokens, replicas
from nanovllm_edu.cluster.capacity import capacity
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.load.answer import SLO
from nanovllm_edu.virtual.arrivals import poisson
from tests.virtual.made import calibration


def make(count: int) -> Cluster:
    return Cluster(replicas(calibration(), count, 200, max_num_seqs=8), LeastTokens())


def curve(**options):
    slo = SLO(first_token=0.1, per_token=0.05, share=0.95)
    return capacity(make, lambda: poisson(80, 150, (5, 60), (5, 60), 1), slo, **options)


def test_more_replicas_keep_more_of_the_promise_at_a_higher_price():
    points = curve(counts=(1, 2, 4, 8), price_per_hour=2.0).points
    shares = [point.outcome.share_met for point in points]
    assert shares == sorted(shares)
    assert not points[0].is_enough
    assert points[-1].is_enough
    assert points[-1].price > points[-2].price


def test_the_price_is_that_of_all_replicas_for_the_time():
    point = curve(counts=(2,), price_per_hour=3.0).points[0]
    summary = point.outcome.summary
    hours = (summary.end - summary.begin) / 3600
    assert point.price == pytest.approx(2 * 3.0 * hours / summary.num_tokens * 1e6)


def test_the_first_that_is_enough():
    found = curve(counts=range(1, 7))
    enough = found.enough()
    assert enough is not None
    assert not any(p.is_enough for p in found.points if p.num_replicas < enough.num_replicas)
    assert "✓" in repr(found) and "replicas" in found._repr_html_()
    assert curve(counts=(1,)).enough() is None


@pytest.mark.parametrize(
    "options",
    [
        {"counts": ()},
        {"counts": ("a",)},
        {"counts": (0,)},
        {"counts": ("2",)},
        {"counts": (1.5,)},
        {"price_per_hour": -1},
        {"price_per_hour": "2"},
        {"price_per_hour": float("nan")},
    ],
)
def test_impossible_numbers_are_refused(options):
    with pytest.raises(ConfigError, match="price from 0 on"):
        curve(**options)


@pytest.mark.parametrize("given", [(5, list, SLO()), (make, [], SLO()), (make, list, 0.5)])
def test_what_is_no_function_or_no_promise_is_refused(given):
    with pytest.raises(ConfigError, match="and an SLO"):
        capacity(*given)
    with pytest.raises(ConfigError, match="counts=3 is no list"):
        curve(counts=3)
