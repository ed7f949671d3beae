"""Attention over a paged KV cache: one contract (`base.py`), several backends.

`reference.py` is the oracle, in readable loops; `flash.py` calls flash-attn; `sdpa.py` needs
nothing but torch. Our kernels stand above: `native/attention.py` for a CPU, in C, and
`kernels/triton/attention.py` for a GPU. `runners/select.py` chooses one and says why.
"""
