"""`start_deeply`: a call with room for recursion that a stranger's text may ask of native code.

Python counts its own depth and raises a `RecursionError`. Native code that recurses has only the
stack: when that ends, the process does. A thread's stack may be larger than the main one's; it is
address space, and what is never reached is never memory.

Such a text may also ask for more time than anybody wants to wait. A thread cannot be ended, so
there are only a few of them at a time, and who gives up on one that has not begun takes it back.

Read next: `grammar.py`, which compiles strangers' grammars here.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, TypeVar

T = TypeVar("T")

STACK_BYTES = 1 << 28
"""A thread's own default is 8 MiB here and half a megabyte elsewhere."""
_LOCK = threading.Lock()


def start_deeply(function: Callable[[], T], room: AbstractContextManager[Any]) -> Future[T]:
    """Calls a function in a thread of its own, on a stack of `STACK_BYTES`.

    Args:
        function: What it returns or raises is the future's.
        room: Entered before the call, which may have to wait there: a semaphore.

    Returns:
        What comes of it; `cancel()` takes back what has not begun.
    """
    result: Future[T] = Future()

    def call() -> None:
        with room:
            if not result.set_running_or_notify_cancel():
                return
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)

    thread = threading.Thread(target=call, name="nanovllm-edu deep", daemon=True)
    with _LOCK:  # the size is one for all threads that are started meanwhile
        before = threading.stack_size(STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    return result
