import sys
import threading

import pytest

from nanovllm_edu.deep_stack import STACK_BYTES, deeply


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
