"""GPU kernels: the few places where fewer passes over memory, or fewer launches, pay.

Most are Triton's; some, for Hopper GPUs, are CUDA C++. The table of all ops, with the readable
reference of each, is in `docs/reference/kernels.md`.

Reading order, in `triton/`:

    launch.py             how a kernel may start before its predecessor has ended
    norm.py rope.py activation.py store_kv.py  the memory-bound operations, one pass each
    ops.py                `TritonOps`, which puts them behind the model's `Ops` protocol
    flash.py              the online softmax over a paged cache
    paged_prefill.py paged_decode.py   attention of many tokens of a sequence, and of one
    attention.py          `TritonPagedAttention`, which puts them behind `AttentionBackend`
    gemm.py residual.py   a tile of a GEMM of few rows, and what its rows are
    norm_project.py norm_gate_up.py project_add.py   a decode step's GEMMs, with what surrounds them
    embed.py lm_head.py pick.py        a decode step's first kernel and its last two
    propose.py filters.py random.py    sampling when the logits are in memory, and its noise

and in `hopper/`:

    compiler.py hopper.cuh    from a `.cu` file to a kernel that can be launched
    few_rows.cu few_rows.py   GEMMs of up to 16 rows, whose weights go straight to registers
    gemm.cu gemm.py           GEMMs of 17 to 256 rows, whose tiles go through shared memory
    decode.cu decode.py       decode attention
    prefill.cu prefill.py     attention of many tokens of a sequence
    attention.py              `HopperPagedAttention`, which puts it behind `AttentionBackend`

`fused_decode/` makes a decode step of them.

Letters in the kernels' legends:

    T tokens           S sequences (rows of a decode batch)     H query heads    KH key-value heads
    G = H / KH          D head dim       C cached tokens          B block size
    M, N, K             rows, columns and depth of a GEMM
"""
