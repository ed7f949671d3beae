"""Memory that a process keeps when it is done with it, for it will need it again.

A step of a long prompt works in tens of megabytes. When it frees them, glibc gives them back to the
system, and the next step gets them page by page, each filled with zeros first: a fifth of its time.
So some memory stays. (Where another C library is, nothing is asked for.)

Source: mallopt(3). Read next: `runners/build.py`, who asks for it.
"""

import ctypes
import os
from functools import cache

KEPT_BYTES = 256 << 20
"""At most so much of what was freed stays."""

LARGE_BYTES = 32 << 20
"""A tensor of so many bytes has memory of its own, which goes back at once; glibc takes no more."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""

SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Who sets one of these has decided about memory."""


@cache  # it holds for the process
def keep_freed_memory() -> bool:
    """Asks for it once.

    Returns:
        Whether it was granted.
    """
    if any(name in os.environ for name in SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no glibc; no such thing as "this program"
        return False
    asked = ((_MMAP_THRESHOLD, LARGE_BYTES), (_TRIM_THRESHOLD, KEPT_BYTES))
    granted = [mallopt(name, value) for name, value in asked]
    return all(granted)
