import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from nanovllm_edu.deep_stack import STACK_BYTES, start_deeply


def deeply(function: Callable[[], Any]) -> Any:
    return start_deeply(function, nullcontext()).result(20)


def test_it_returns_what_the_function_does() -> None:
    assert deeply(lambda: 7) == 7


def test_it_raises_what_the_function_does() -> None:
    with pytest.raises(ZeroDivisionError):
        deeply(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        deeply(sys.exit)


def test_the_stack_is_large_there_and_nowhere_else() -> None:
    before = threading.stack_size()
    assert STACK_BYTES > 16 * 2**20
    assert deeply(threading.current_thread) is not threading.current_thread()
    assert threading.stack_size() == before


def test_no_more_run_than_there_is_room_for_and_who_has_not_begun_can_be_taken_back() -> None:
    room, leave, begun = threading.BoundedSemaphore(1), threading.Event(), list[int]()

    def work(number: int) -> int:
        begun.append(number)
        assert leave.wait(20)
        return number

    first = start_deeply(lambda: work(1), room)
    while not begun:
        pass
    second, third = (start_deeply(lambda n=n: work(n), room) for n in (2, 3))
    assert second.cancel()
    assert not first.cancel()
    leave.set()
    assert (first.result(20), third.result(20)) == (1, 3)
    assert begun == [1, 3]
