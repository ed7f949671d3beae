"""What the functions of our C files take: ctypes takes it on trust, so it is said here once.

    declared(load_library(FOLDER / "ops.c"), "ops.c").rms_norm(...)

Read next: `ops.c`.
"""

from collections.abc import Sequence
from ctypes import CDLL, c_float, c_int, c_int64, c_uint32, c_void_p
from typing import Any

ARRAY, SIZE, NUMBER = c_void_p, c_int, c_float

SIGNATURES: dict[str, dict[str, tuple[Any, Sequence[Any]]]] = {
    "draw.c": {"draw": (c_int, [ARRAY, c_uint32, c_uint32, SIZE])},
    "gemm.c": {
        "gemm": (None, [ARRAY] * 4 + [c_int64] + [SIZE] * 4),
        "gemm_int8": (None, [ARRAY] * 5 + [c_int64] + [SIZE] * 4),
        "pack": (None, [ARRAY] * 2 + [SIZE] * 3),
    },
    "mask.c": {"hold": (None, [ARRAY] * 3 + [SIZE] * 4)},
    "ops.c": {
        "rms_norm": (None, [ARRAY] * 3 + [SIZE] * 2 + [NUMBER, SIZE]),
        "add_rms_norm": (None, [ARRAY] * 5 + [SIZE] * 2 + [NUMBER, SIZE]),
        "norm_and_rotate": (c_int, [ARRAY] * 5 + [SIZE] * 5 + [NUMBER, SIZE]),
        "silu_and_mul": (None, [ARRAY] * 2 + [SIZE] * 3),
    },
    "paged_attention.c": {
        "paged_attention": (None, [ARRAY] * 7 + [SIZE] * 6),
        "store": (None, [ARRAY] * 5 + [c_int64] * 2 + [SIZE] * 3),
    },
    "tables.c": {
        "look_up": (None, [ARRAY] * 7 + [SIZE] * 6),
        "choose": (None, [ARRAY] * 6 + [SIZE] * 4),
    },
    "threads.c": {
        "begin_tape": (c_void_p, []),
        "end_tape": (c_int, []),
        "free_tape": (None, [c_void_p]),
        "play": (None, [c_void_p, SIZE]),
    },
}
"""File -> function -> what it returns, and its parameters: arrays first, then sizes."""


def declared(library: CDLL, source: str) -> CDLL:
    """The same library, whose functions now check the types of their arguments."""
    for name, (result, parameters) in SIGNATURES[source].items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
    return library
