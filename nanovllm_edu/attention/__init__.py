"""Attention over a paged KV cache: one contract (`base`), several backends.

`reference` is the oracle, in readable loops; `sdpa` is fast on a CPU; `triton_paged` is our own
kernel; `flash` calls flash-attn. `select` chooses one and says why.
"""
