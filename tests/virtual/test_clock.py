import pytest

from nanovllm_edu.virtual.clock import HostClock, VirtualClock


class Source:
    now = 40.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("make", [VirtualClock, lambda: HostClock(Source())])
def test_a_clock_begins_at_zero_and_is_only_put_forward(make):
    clock = make()
    assert clock() == 0
    clock.skip_to(5)
    assert clock() == 5
    clock.skip_to(3)
    assert clock() == 5


def test_the_hosts_clock_runs_with_its_source_from_where_it_was_put():
    source = Source()
    clock = HostClock(source)
    source.now = 42.0
    assert clock() == 2
    clock.skip_to(10)
    source.now = 43.0
    assert clock() == 11
    clock.resume_at(2)
    assert clock() == 2
