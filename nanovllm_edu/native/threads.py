"""Who computes on a CPU: our own threads, which sleep while they wait, and one of torch's.

torch's threads are OpenMP's. After each operation they burn their core for milliseconds in case
another one comes, and all wait for the slowest. On a machine that does something else too, that
makes a step ten times as slow as one thread would be. How they wait is decided by variables of the
process when torch is loaded: too late for a library, and not its business.

So the kernels in C run on threads of our own (`threads.c`), and while a step runs torch is held to
one thread: of the caller only, and given back afterwards.

Read next: `threads.c`; `library.py`, which compiles it; `kept_memory.py`.
"""

import ctypes
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from nanovllm_edu.native.library import FOLDER, load_library
from nanovllm_edu.native.signatures import declared


@cache
def helpers() -> ctypes.CDLL:
    """The threads, of which there is one set in a process; started when first wanted.

    Raises:
        CompileError: They cannot be compiled here.
    """
    return declared(load_library(FOLDER / "threads.c"), "threads.c")


@cache
def load_kernels(name: str, **defines: int) -> ctypes.CDLL:
    """The compiled kernels of one of our C files, which share our threads; loaded once.

    Args:
        name: The file's.
        **defines: Numbers that are constants of the compiled code.

    Raises:
        CompileError: They cannot be compiled here.
    """
    kernels = declared(load_library(FOLDER / name, defines), name)
    kernels.use_threads(ctypes.cast(helpers().deal_out, ctypes.c_void_p))
    return kernels


class _Allowed(threading.local):
    """How many threads this thread's kernels may use where torch is held to fewer."""

    num_threads: int | None = None


_allowed = _Allowed()


def num_threads() -> int:
    """How many threads a kernel may use: what torch was told, by OMP_NUM_THREADS for example."""
    return _allowed.num_threads or torch.get_num_threads()


@contextmanager
def torch_limited_to(most: int) -> Iterator[None]:
    """In this block torch uses at most so many threads for what this thread calls.

    Our kernels may still use all that torch was allowed before.
    """
    before = torch.get_num_threads()
    if before <= most:
        yield
        return
    outer, _allowed.num_threads = _allowed.num_threads, num_threads()
    set_of_this_thread()(most)
    try:
        yield
    finally:
        set_of_this_thread()(before)
        _allowed.num_threads = outer


@contextmanager
def map_on_threads() -> Iterator[Callable[..., Any]]:
    """`map` on as many threads as kernels may use, in each of which torch uses one."""
    limit = set_of_this_thread()
    pool = ThreadPoolExecutor(num_threads(), initializer=limit, initargs=(1,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)  # whoever is interrupted waits for what has begun only


@cache
def set_of_this_thread() -> Callable[[int], None]:
    """Sets the number of torch's threads for the thread that calls it.

    OpenMP keeps that number for each thread. torch's own `set_num_threads` also changes it for all
    threads to come; it is used where the OpenMP of torch cannot be found.
    """
    for path in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"):
        try:
            # A name is looked up in a library and in those that it needs: so this is torch's own.
            return ctypes.CDLL(str(path)).omp_set_num_threads
        except (OSError, AttributeError):
            continue
    return torch.set_num_threads
