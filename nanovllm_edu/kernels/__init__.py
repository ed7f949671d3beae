"""GPU kernels: the few places where fewer passes over memory, or fewer launches, pay.

Most are Triton's; two, for Hopper GPUs, are CUDA C++.

Reading order:

    launch.py             how a kernel may start before its predecessor has ended
    norm.py rope.py activation.py store_kv.py  the memory-bound operations, one pass each
    ops.py                `TritonOps`, which puts them behind the model's `Ops` protocol
    flash.py              the online softmax over a paged cache, for Triton's attention kernels
    paged_prefill.py paged_decode.py          attention for `attention/triton_paged.py`
    matmul.py projections.py lm_head.py       a decode step of few rows in five kernels a layer
    hopper.py hopper.cuh  from a `.cu` file to a kernel that can be launched
    hopper_decode.cu hopper_decode.py         decode attention in CUDA C++
    hopper_product.cu hopper_product.py       products of 5 to 256 rows in CUDA C++
    tile_plan.py          who makes what, and how it is cut, by the number of rows
    layer_products.py layer_attention.py      a layer's kernels, bound to what they read and write
    fused_decode.py       `FusedDecoder`, which strings them together
    sampling.py filters.py                    the last product by the library, then the draw
    twins.py              what each of the fused ones computes, in readable torch

Importing this package needs triton; nothing outside imports it unless it is going to be used. With
`TRITON_INTERPRET=1` every kernel runs on the CPU, which is how the tests check them without a GPU.

Letters in the kernels' legends:

    T tokens           S sequences (rows of a decode batch)     H query heads    KH key-value heads
    G = H / KH          D head dim       C cached tokens          B block size
    M, N, K             rows, columns and depth of a matrix product
"""
