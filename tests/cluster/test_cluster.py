from collections import Counter
from contextlib import suppress

import pytest

from nanovllm_edu.cluster import (
    Cluster,
    Down,
    Drain,
    LeastTokens,
    Outcome,
    PrefixAffinity,
    RoundRobin,
    Up,
    replicas,
)
from nanovllm_edu.cluster.otherwise import Otherwise
from nanovllm_edu.cluster.scenarios import rolling_restart, tenants
from nanovllm_edu.errors import CalibrationError, ConfigError, RoutingError, TraceError
from nanovllm_edu.virtual.arrivals import Arrival, poisson
from nanovllm_edu.virtual.runner import virtual_engine
from nanovllm_edu.virtual.serving import Server, serve
from tests.virtual.made import calibration


def cluster(count: int = 3, router=None, **options) -> Cluster:
    engines = replicas(calibration(), count, num_blocks=200, **options)
    return Cluster(engines, router or LeastTokens())


def traffic(count: int = 120, rate: float = 60, seed: int = 1) -> list[Arrival]:
    return list(poisson(rate, count, (5, 60), (5, 40), seed))


def test_one_replica_is_a_server():
    alone = Server(virtual_engine(calibration(), 200))
    assert [r.answer for r in cluster(1).serve(traffic())] == list(serve(alone, traffic()))


def test_everybody_is_answered_once():
    answers = list(cluster().serve(traffic()))
    assert sorted(r.answer.arrival.at for r in answers) == [a.at for a in traffic()]
    assert all(r.num_tries == 1 for r in answers)


def test_a_run_is_the_same_every_time():
    first, again = cluster(), cluster()
    assert list(first.serve(traffic())) == list(again.serve(traffic()))
    assert first.decisions == again.decisions


def test_one_request_may_be_sent_several_times():
    same = Arrival(0.0, [1, 2, 3] * 20, 10)
    answers = list(cluster().serve([same] * 5, [Down(0.01, 0), Up(0.5, 0)]))
    assert [r.answer.arrival for r in answers] == [same] * 5
    assert sorted(r.num_tries for r in answers) == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_or_doubled_when_replicas_die_and_come_back(seed: int):
    one = cluster()
    incidents = [Down(0.2, 0), Down(0.5, 1), Up(0.6, 0), Down(0.8, 2), Up(1.0, 1), Up(1.5, 2)]
    answers = list(one.serve(traffic(seed=seed), incidents))
    asked = Counter(a.at for a in traffic(seed=seed))
    assert Counter(r.answer.arrival.at for r in answers) == asked
    assert all(r.answer.num_tokens == r.answer.arrival.max_tokens for r in answers)
    assert sum(r.num_tries for r in answers) == len(one.decisions)
    assert max(r.num_tries for r in answers) > 1
    assert all(not r.is_busy and not r.lost for r in one.replicas)


def test_a_dead_replica_answers_nothing():
    """Not even what would have been done at the end of the step in which it died."""
    ended = [r.answer.end for r in cluster().serve(traffic(60)) if r.replica == 1]
    for end in ended[:8]:
        death = end - 1e-4  # in the middle of the step in which an answer would have ended
        answers = list(cluster().serve(traffic(60), [Down(death, 1), Up(death + 0.5, 1)]))
        of_dead = [r.answer.end for r in answers if r.replica == 1]
        assert not [at for at in of_dead if death < at < death + 0.5]
        assert len(answers) == 60


def test_while_nobody_is_there_requests_wait_in_front():
    answers = list(cluster(1).serve([Arrival(1.0, [1], 2)], [Down(0.5, 0), Up(3.0, 0)]))
    assert answers[0].answer.ttft > 2.0
    with pytest.raises(TraceError, match="1 requests wait, and no replica ever"):
        list(cluster(1).serve([Arrival(1.0, [1], 2)], [Down(0.5, 0)]))


def test_a_drained_replica_finishes_what_it_has():
    one = cluster()
    answers = list(one.serve(traffic(), [Drain(0.4, 0)]))
    assert all(r.num_tries == 1 for r in answers)
    assert max(d.at for d in one.decisions if d.replica == 0) < 0.4
    assert max(r.answer.end for r in answers if r.replica == 0) > 0.4


def test_a_rolling_restart_retries_nobody():
    one = cluster()
    answers = list(one.serve(traffic(), rolling_restart(3, 0.2, 0.5)))
    assert len(answers) == len(traffic())
    assert all(r.num_tries == 1 for r in answers)
    for replica in range(3):
        window = (0.2 + 0.5 * replica, 0.7 + 0.5 * replica)
        assert not [
            d for d in one.decisions if d.replica == replica and window[0] < d.at < window[1]
        ]


def test_affinity_finds_more_in_the_caches_than_turns_do():
    def hit_rate(router) -> float:
        one = cluster(4, router, max_num_seqs=16)
        return Outcome.of(one.serve(tenants(20, 200, system_tokens=256))).hit_rate

    assert hit_rate(PrefixAffinity()) > hit_rate(RoundRobin()) + 0.1


def test_a_hot_tenant_overloads_one_replica_without_a_bound():
    def busiest(bound: float) -> float:
        one = cluster(4, PrefixAffinity(bound), max_num_seqs=16)
        outcome = Outcome.of(one.serve(tenants(100, 300, hot_share=0.7)))
        return max(outcome.num_of_replica.values()) / outcome.summary.num_answers

    assert busiest(1e9) > 0.6
    assert busiest(1.25) < 0.45


def test_a_decision_can_be_taken_otherwise():
    before, after = cluster(), cluster(router=Otherwise(LeastTokens(), {17: 2}))
    list(before.serve(traffic()))
    list(after.serve(traffic()))
    assert before.decisions[:17] == after.decisions[:17]
    assert before.decisions[17].replica != 2
    assert after.decisions[17].replica == 2


@pytest.mark.parametrize(
    "given",
    [
        (-1, 0), (float("inf"), 0), ("a", 0), (1, "a"), (float("nan"), 0), (1, 0.5), (1, True),
        (True, 0), (None, 0), (1, -1), ([1], [2]), ("a",), (1,),
    ],
)  # fmt: skip
@pytest.mark.parametrize("incident", [Down, Drain, Up])
def test_impossible_incidents_are_refused(incident, given):
    with pytest.raises(TraceError, match="give seconds from 0 on, and the number of a replica"):
        incident(*given)


@pytest.mark.parametrize("incidents", [[Down(2, 0), Up(1, 0)], [Down(1, 7)]])
def test_incidents_that_do_not_fit_the_cluster_are_refused(incidents):
    with pytest.raises(TraceError, match="in a cluster of 3"):
        list(cluster().serve(traffic(), incidents))


@pytest.mark.parametrize("engines", [5, "ab", ["a"], [], virtual_engine(calibration(), 8)])
def test_what_are_no_engines_is_refused(engines):
    with pytest.raises(ConfigError, match="give"):
        Cluster(engines, RoundRobin())


def test_what_cannot_be_several_is_refused():
    with pytest.raises(TraceError, match="incidents=5 is no list"):
        cluster().serve(traffic(), 5)
    with pytest.raises(TraceError, match="arrivals=5 are not several"):
        list(cluster().serve(5))
    for count in ("2", 0, 1.5):
        with pytest.raises(ConfigError, match="not an integer from 1 on"):
            replicas(calibration(), count, 64)
    for changes in (5, {"a": 1}, {1: "a"}, {-1: 0}):
        with pytest.raises(ConfigError, match="from decisions to replicas"):
            Otherwise(RoundRobin(), changes)


@pytest.mark.parametrize("incident", [None, (1, 0), "down", Arrival(1.0, [1], 1), Down])
def test_what_is_no_incident_is_refused(incident):
    with pytest.raises(TraceError, match="neither a Down, a Drain nor an Up"):
        cluster().serve(traffic(), [incident])


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ([Arrival(-1.0, [1], 1)], "request 1 comes at -1.0 s"),
        ([Arrival("soon", [1], 1)], "request 1 comes at 'soon' s"),
        ([Arrival(1.0, [1], 1), Arrival(0.5, [1], 1)], "request 2 comes at 0.5 s"),
        ([(0.0, [1], 1)], "is no Arrival"),
        ([Arrival(0.0, "Once", 1)], "prompt='Once'"),
        ([Arrival(0.0, [1, "2"], 1)], "prompt="),
        ([Arrival(0.0, [], 1)], "prompt="),
        ([Arrival(0.0, [1], 0)], "max_tokens=0"),
        ([Arrival(0.0, [1], "many")], "max_tokens='many'"),
    ],
)
def test_what_is_no_request_is_refused(requests, said: str):
    with pytest.raises(TraceError, match=said):
        list(cluster().serve(requests))


@pytest.mark.parametrize("router", [LeastTokens(), lambda *_: 1 / 0])
def test_a_cluster_serves_once_be_it_to_the_end_or_to_an_error(router):
    one = cluster(router=router)
    with suppress(RoutingError):
        list(one.serve(traffic(10)))
    with pytest.raises(ConfigError, match="has served already"):
        one.serve(traffic(10))


def test_what_is_no_router_is_refused_when_the_cluster_is_made():
    with pytest.raises(ConfigError, match="neither an object with route"):
        Cluster(replicas(calibration(), 2, 20), RoundRobin)


@pytest.mark.parametrize("wrong", [None, "h200", calibration().device])
def test_what_is_no_calibration_is_refused(wrong):
    with pytest.raises(CalibrationError, match="is not of type Calibration"):
        replicas(wrong, 2, 20)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 0}, "rate=0"), ({"rate": "1"}, "rate='1'"), ({"count": -1}, "count=-1"),
        ({"num_tenants": 0}, "num_tenants=0"), ({"hot_share": 2}, "hot_share=2"),
        ({"question_tokens": (9, 3)}, "question_tokens"), ({"output_tokens": 5}, "output_tokens=5"),
        ({"system_tokens": 1.5}, "system_tokens=1.5"),
    ],
)  # fmt: skip
def test_impossible_tenants_are_refused_at_once(options, said: str):
    with pytest.raises(TraceError, match=said):
        tenants(**{"rate": 10, "count": 5, **options})


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((-1, 0, 1), "num_replicas=-1"), ((3, "a", 1), "begin='a'"), ((3, 0, -1), "seconds=-1")],
)
def test_impossible_restarts_are_refused_at_once(numbers, said: str):
    with pytest.raises(TraceError, match=said):
        rolling_restart(*numbers)


def test_a_router_that_names_a_dead_replica_is_refused():
    with pytest.raises(RoutingError, match=r"are \[1, 2\]"):
        list(cluster(router=lambda *_: 0).serve(traffic(), [Down(0.1, 0)]))


def test_engines_are_new():
    with pytest.raises(ConfigError, match="0 engines"):
        Cluster([], LeastTokens())
    engine = virtual_engine(calibration(), 20)
    engine.add_request([1])
    with pytest.raises(ConfigError, match="0 different new ones"):
        Cluster([engine], LeastTokens())
    with pytest.raises(ConfigError, match="each only once"):
        Cluster([virtual_engine(calibration(), 20)] * 2, LeastTokens())
