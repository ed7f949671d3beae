"""GPU kernels: the few places where fewer passes over memory, or fewer launches, pay.

All are Triton's but one, which is CUDA C++.

Reading order:

    launch.py             how a kernel may start before its predecessor has ended
    norm.py rope.py activation.py store_kv.py  the memory-bound operations, one pass each
    ops.py                `TritonOps`, which puts them behind the model's `Ops` protocol
    flash.py              the online softmax over a paged cache, shared by all attention kernels
    paged_prefill.py paged_decode.py          attention for `attention/triton_paged.py`
    matmul.py projections.py lm_head.py       a decode step of few rows in five kernels a layer
    hopper_product.cu hopper.py               products of 5 to 128 rows on a Hopper GPU, in CUDA C++
    tile_plan.py layer_products.py            which of the two makes a layer's products, and how cut
    fused_decode.py       `FusedDecoder`, which strings them together
    sampling.py library_decode.py             `LibraryDecoder`: of many rows, with cuBLAS
    twins.py              what each of the fused ones computes, in readable torch

Importing this package needs triton; nothing outside imports it unless it is going to be used. With
`TRITON_INTERPRET=1` every kernel runs on the CPU, which is how the tests check them without a GPU.

Letters in the kernels' legends:

    T tokens           S sequences (rows of a decode batch)     H query heads    KH key-value heads
    G = H / KH          D head dim       C cached tokens          B block size
    M, N, K             rows, columns and depth of a matrix product
"""
