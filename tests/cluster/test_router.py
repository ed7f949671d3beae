import numpy as np
import pytest

from nanovllm_edu.cluster import LeastTokens, Load, PrefixAffinity, PrefixIndex, RoundRobin
from nanovllm_edu.cluster.router import routed
from nanovllm_edu.errors import ConfigError, RoutingError

INDEX = PrefixIndex(4, 100)


def loads(*tokens: int) -> list[Load]:
    return [Load(i, count // 10, count) for i, count in enumerate(tokens)]


def test_round_robin_takes_turns_among_those_that_are_there():
    router, three = RoundRobin(), loads(0, 0, 0)
    assert [router.route([1], three, INDEX) for _ in range(4)] == [0, 1, 2, 0]
    assert [router.route([1], [three[0], three[2]], INDEX) for _ in range(3)] == [2, 0, 2]


def test_least_tokens_takes_the_least_busy():
    assert LeastTokens().route([1], loads(30, 10, 20), INDEX) == 1
    assert LeastTokens().route([1], loads(30, 10, 10), INDEX) == 1


def test_affinity_follows_the_cache_up_to_its_bound():
    index = PrefixIndex(4, 100)
    prompt = [7] * 40
    index.add(prompt, 1)
    router = PrefixAffinity(1.5, spare=0)
    assert router.route(prompt, loads(100, 120, 100), index) == 1
    assert router.route(prompt, loads(100, 300, 100), index) == 0
    assert PrefixAffinity(100).route(prompt, loads(100, 300, 100), index) == 1


def test_affinity_without_a_match_balances():
    assert PrefixAffinity().route([1] * 8, loads(30, 10, 20), INDEX) == 1


def test_a_load_that_nobody_waits_for_is_not_balanced():
    index = PrefixIndex(4, 100)
    index.add([7] * 40, 1)
    assert PrefixAffinity(1.0, spare=300).route([7] * 40, loads(0, 300), index) == 1
    assert PrefixAffinity(1.0, spare=299).route([7] * 40, loads(0, 300), index) == 0


def test_somebody_is_always_there():
    assert PrefixAffinity(1.0, spare=0).route([1] * 1000, loads(5, 5), INDEX) == 0


@pytest.mark.parametrize("bound", [0.5, -1, float("nan")])
def test_a_bound_below_the_mean_is_refused(bound: float):
    with pytest.raises(ConfigError, match="below 1"):
        PrefixAffinity(bound)


class Strange:
    """Says of everything that it is the same, and has no name."""

    def __eq__(self, other):
        return True

    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "answer",
    [None, 2, -1, "0", 0.5, True, [0], np.array([0, 1]), np.zeros(2), float("nan"), int, Strange(),
     loads(0)[0]],
)  # fmt: skip
def test_a_router_that_names_nobody_is_refused_with_who_is_there(answer):
    with pytest.raises(RoutingError, match=r"take requests are \[0, 1\]"):
        routed(lambda prompt, loads, index: answer, [1], loads(0, 0), INDEX)


def test_a_function_is_a_router():
    assert routed(lambda prompt, loads, index: loads[-1].replica, [1], loads(0, 0), INDEX) == 1


def test_integers_of_numpy_are_numbers_too():
    answer = routed(lambda prompt, loads, index: np.int64(1), [1], loads(0, 0), INDEX)
    assert answer == 1 and type(answer) is int


def test_a_router_that_raises_is_named_and_its_own_error_is_the_cause():
    def mine(prompt, loads, index):
        return loads[7]

    with pytest.raises(RoutingError, match="router mine raised IndexError") as raised:
        routed(mine, [1], loads(0, 0), INDEX)
    assert isinstance(raised.value.__cause__, IndexError)


@pytest.mark.parametrize("router", [None, 3, "round robin", RoundRobin, LeastTokens])
def test_what_is_no_router_is_refused(router):
    with pytest.raises(ConfigError, match="neither an object with route"):
        routed(router, [1], loads(0, 0), INDEX)


@pytest.mark.parametrize("options", [{"bound": "2"}, {"spare": -1}, {"spare": None}])
def test_a_bound_that_is_no_number_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        PrefixAffinity(**options)
