import pytest

from nanovllm_edu.cluster import Outcome, Routed
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.load.answer import SLO
from nanovllm_edu.virtual.arrivals import Arrival
from nanovllm_edu.virtual.serving import Answer


def routed(
    tenant: str, replica: int, first: float, gap: float, tries: int = 1, reason: str = "length"
) -> Routed:
    arrival = Arrival(1.0, [1] * 10, 3, tenant)
    times = [1.0 + first + gap * i for i in range(3)]
    return Routed(Answer(arrival, times, times[-1], reason, 4), replica, tries)


def test_what_is_counted():
    answers = [routed("a", 0, 0.1, 0.01), routed("a", 1, 0.9, 0.01, 2), routed("b", 1, 0.1, 0.5)]
    outcome = Outcome.of(answers, SLO(first_token=0.5, per_token=0.05))
    assert outcome.share_met == pytest.approx(1 / 3)
    assert outcome.hit_rate == 0.4
    assert outcome.num_retried == 1
    assert outcome.num_of_replica == {0: 1, 1: 2}
    assert outcome.tenants["a"].num_answers == 2
    assert "40% of prompt tokens cached" in repr(outcome)


def test_who_got_no_whole_answer_was_promised_more():
    outcome = Outcome.of([routed("a", 0, 0.1, 0.01), routed("a", 0, 0.1, 0.01, reason="error")])
    assert outcome.share_met == 0.5


def test_what_is_no_answer_of_a_cluster_is_refused():
    with pytest.raises(ConfigError, match="answers=5 is not of type Iterable"):
        Outcome.of(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="routed='a' is not of type Routed; give what `Cluster"):
        Outcome.of(["a"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="slo=5 is not of type SLO"):
        Outcome.of([], 5)  # type: ignore[arg-type]
