"""Our own paged attention on a Hopper GPU: prompts in CUDA C++, the rest as in Triton.

A step in which every sequence has one new token is `kernels/triton/paged_decode.py`'s; steps that
are replayed from graphs have a faster one (`decode.py`), fused with what makes queries and keys.

Reference: `attention/reference.py`. Read next: `prefill.py`.
"""

from nanovllm_edu.kernels.hopper.prefill import HopperPrefill
from nanovllm_edu.kernels.triton.attention import TritonPagedAttention


class HopperPagedAttention(TritonPagedAttention):
    """Paged attention without flash-attn, for block sizes that are multiples of 16."""

    name = "hopper"

    def __init__(self) -> None:
        super().__init__(prefill=HopperPrefill())
