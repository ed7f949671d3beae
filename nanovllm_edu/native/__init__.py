"""Fast paths for a CPU, in C: what `kernels/` is for a GPU.

`attention.py` calls `paged_attention.c`, whose reference is `attention/reference.py`; `ops.py`
calls `ops.c`, whose reference is `layers/ops.py`; `gemm.py` calls `gemm.c`, whose reference is
`layers/packed.py`, or `layers/int8.py` for weights in 8 bits; `mask.py` calls `mask.c`, whose
reference is `sampling/edits.py`; `tables.py` calls `tables.c`, whose references are
`paged/batch.py` and `sampling/sampler.py`. They run on the threads of `threads.py`. The C files are
compiled by `library.py` when first wanted; without a compiler torch does their work. What a step
frees stays with the process (`kept_memory.py`).
"""
