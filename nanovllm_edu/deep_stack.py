"""`deeply`: a call with room for recursion that a stranger's text may ask of native code.

Python counts its own depth and raises a `RecursionError`. Native code that recurses has only the
stack: when that ends, the process does. A thread's stack may be larger than the main one's; it is
address space, and what is never reached is never memory.

Read next: `grammar.py`, which compiles strangers' grammars here.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

STACK_BYTES = 1 << 28
"""A thread's own default is 8 MiB here and half a megabyte elsewhere."""
_LOCK = threading.Lock()


def deeply(function: Callable[[], T]) -> T:
    """Calls a function on a stack of its own, of `STACK_BYTES`; returns or raises as it does."""
    result: Future[T] = Future()

    def call() -> None:
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
    return result.result()
