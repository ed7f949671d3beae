"""With many readers tokens come in larger pieces, and with one each by itself."""

import pytest

from nanovllm_edu.pace import LONGEST_PAUSE, PIECES_A_SECOND, Pace


def pause(num_readers: int, pace: Pace | None = None) -> float:
    return (pace or Pace()).next_turn(100.0, num_readers, is_first=False) - 100.0


@pytest.mark.parametrize("num_readers", [0, 1])  # none: the only one has just ended
def test_a_single_reader_never_waits(num_readers: int) -> None:
    assert pause(num_readers) == 0.0


def test_all_readers_together_get_no_more_than_there_may_be() -> None:
    for num_readers in (2, 8, 64, 100):
        assert (num_readers - 1) / pause(num_readers) == pytest.approx(PIECES_A_SECOND)


def test_no_pause_is_longer_than_it_may_be() -> None:
    assert pause(10_000) == pytest.approx(LONGEST_PAUSE)
    assert pause(10_000, Pace(0.01)) == pytest.approx(0.01)
    assert pause(10_000, Pace(0.0)) == 0.0


def test_readers_who_begin_together_come_apart() -> None:
    turns = [Pace().next_turn(100.0, 65, is_first=True) - 100.0 for _ in range(64)]
    assert 0.0 <= min(turns) < 0.012 < 0.02 < max(turns) <= 0.032
