"""A stop button waits while the books are written, and is heard where the device works."""

import signal
from collections.abc import Callable, Iterator
from threading import Thread
from types import FrameType

import pytest

from nanovllm_edu.shield import Shield


@pytest.fixture(autouse=True)
def handler_as_before() -> Iterator[None]:
    """Whatever a test does, the next one finds Python's own handler."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    """Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def reached(work: Callable[[list[int]], None]) -> list[int]:
    """The numbers that some work noted before it was interrupted."""
    lines: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        work(lines)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return lines


def test_an_interrupt_is_held_back_until_the_end_of_the_block() -> None:
    def work(lines: list[int]) -> None:
        with Shield():
            press()
            lines.append(1)
            press()  # twice is once
            lines.append(2)
        lines.append(3)

    assert reached(work) == [1, 2]
    with Shield():
        pass  # nothing is left of it


def test_while_it_is_open_it_is_raised_at_once() -> None:
    def work(lines: list[int]) -> None:
        def press_and_go_on() -> None:
            press()
            lines.append(1)

        with Shield() as shield:
            shield.open_for(press_and_go_on)

    assert reached(work) == []


def test_what_is_held_back_is_raised_when_it_opens() -> None:
    def work(lines: list[int]) -> None:
        with Shield() as shield:
            press()
            lines.append(1)
            shield.open_for(lines.append, 2)

    assert reached(work) == [1]


def test_when_it_has_closed_it_is_held_back_again() -> None:
    def work(lines: list[int]) -> None:
        with Shield() as shield:
            shield.open_for(lines.append, 1)
            press()
            lines.append(2)

    assert reached(work) == [1, 2]


def test_a_check_raises_what_is_held_back_once() -> None:
    with Shield() as shield:
        shield.check()
        press()
        with pytest.raises(KeyboardInterrupt):
            shield.check()
        shield.check()


def test_an_inner_shield_leaves_it_to_the_outermost() -> None:
    def work(lines: list[int]) -> None:
        with Shield() as outer:
            with Shield() as inner:
                assert inner is outer
                press()
            lines.append(1)

    assert reached(work) == [1]


def test_a_handler_of_ones_own_is_asked() -> None:
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    signal.signal(signal.SIGINT, note)
    with Shield():
        press()
        assert heard == []
    assert heard == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is note


def test_an_interrupt_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Shield() as shield:
        press()
        shield.open_for(press)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_exception_on_the_way_gives_the_handler_back() -> None:
    with pytest.raises(ZeroDivisionError), Shield():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_nothing_happens() -> None:
    found: list[object] = []

    def work() -> None:
        with Shield() as shield:
            shield.check()
            found.append(shield.open_for(signal.getsignal, signal.SIGINT))

    thread = Thread(target=work)
    thread.start()
    thread.join(60)
    assert found == [signal.default_int_handler]


def test_a_shield_that_was_not_entered_has_nothing_to_raise() -> None:
    shield = Shield()
    shield.check()
    assert shield.open_for(divmod, 7, 2) == (3, 1)
