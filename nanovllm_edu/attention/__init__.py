"""Attention over a paged KV cache: one contract (`base`), several backends.

`reference` is the oracle, in readable loops; `native` is our kernel for a CPU, in C, and
`triton_paged` the one for a GPU; `flash` calls flash-attn; `sdpa` needs nothing but torch. `select`
chooses one and says why.
"""
