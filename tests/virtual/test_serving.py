import sys

import pytest

from nanovllm_edu.introspect import Recorder, save, to_html
from nanovllm_edu.virtual.arrivals import Arrival, poisson
from nanovllm_edu.virtual.calibration import Seconds
from nanovllm_edu.virtual.runner import virtual_engine
from nanovllm_edu.virtual.serving import Server, serve, turns
from nanovllm_edu.virtual.summary import Summary

from .made import calibration

ONE_MS = calibration(Seconds(1e-3), Seconds())


def server(num_blocks: int = 64, **options) -> Server:
    return Server(virtual_engine(ONE_MS, num_blocks, **options))


def test_a_request_waits_for_the_step_that_is_under_way():
    first, second = serve(server(), [Arrival(0, [1], 4), Arrival(1.5e-3, [2], 1)])
    assert (first.arrival.at, second.arrival.at) == (1.5e-3, 0)
    assert first.ttft == pytest.approx(1.5e-3)  # it comes in the middle of the second step
    assert second.ttft == pytest.approx(1e-3)
    assert second.tpot == pytest.approx(1e-3)


def test_time_without_requests_passes_at_once():
    answer = list(serve(server(), [Arrival(0, [1], 1), Arrival(1000, [2], 2)]))[-1]
    assert answer.ttft == pytest.approx(0.001)
    assert answer.token_times == pytest.approx([1000.001, 1000.002])
    assert answer.gaps == pytest.approx([0.001])


def test_everybody_is_served_and_counted_as_they_asked():
    arrivals = list(poisson(2000, 60, (1, 40), (1, 30), 3))
    answers = list(serve(server(num_blocks=24), arrivals))
    assert sorted(a.arrival.at for a in answers) == [a.at for a in arrivals]
    assert all(a.num_tokens == a.arrival.max_tokens and a.reason == "length" for a in answers)


def test_who_waits_in_front_of_the_engine_waits_as_long():
    options = {"max_num_seqs": 4}
    free, held = (
        Summary.of(serve(server(**options), poisson(2000, 60, (1, 40), (1, 30), 3), limit))
        for limit in (None, 4)
    )
    assert free == held


def test_no_more_are_kept_than_are_served():
    """Answers and requests are gone when they have been read."""
    one, alive = server(), []
    for step, _ in enumerate(turns(one, poisson(50, 2000, (1, 5), (1, 5)), max_waiting=8)):
        if step in (500, 4000):
            alive.append(sys.getallocatedblocks())
    assert alive[1] < 1.2 * alive[0]


def test_the_same_seed_gives_the_same_result():
    first, again = (
        Summary.of(serve(server(num_blocks=30), poisson(900, 80, (1, 50), (1, 30), 5)))
        for _ in range(2)
    )
    assert first == again


def test_a_window_can_be_recorded_and_shown(tmp_path):
    one = server()
    for step, _ in enumerate(turns(one, poisson(400, 90, (1, 9), (5, 9)))):
        if step == 20:
            one.recorder = Recorder(one.engine)
        if step == 40:
            recording = one.recorder.recording
            one.recorder = None
    assert [record.step_id for record in recording] == list(range(21, 41))
    save(recording, tmp_path / "window.json.gz")
    assert to_html(recording, tmp_path / "window.html").stat().st_size > 1000
    assert recording.state_at(len(recording) - 1).running


def test_a_server_that_dies_gives_back_its_requests():
    one = server()
    for i in range(3):
        one.add(Arrival(0, [i], 9))
    one.step()
    assert one.num_unfinished_tokens == 3 * 9
    assert [arrival.prompt for arrival in one.take_all()] == [[0], [1], [2]]
    assert one.num_unfinished == 0
    assert not one.engine.has_unfinished_requests()
