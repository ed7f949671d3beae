"""Fast paths for a CPU, in C: what `kernels/` is for a GPU.

`paged_attention.c` is the twin of `attention/reference.py`, `ops.c` that of `layers/ops.py`. They
are compiled by `library.py` when first wanted; without a compiler torch does their work. Nothing
imports this package before it is going to be used.
"""
