"""`TritonOps`: the model's four memory-bound operations as Triton kernels.

Read next: `norm.py`, `rope.py`, `activation.py`; the reference is `layers/ops.py`.
"""

from nanovllm_edu.kernels.triton.activation import silu_and_mul
from nanovllm_edu.kernels.triton.norm import add_rms_norm, rms_norm
from nanovllm_edu.kernels.triton.rope import qk_norm_rope


class TritonOps:
    """Same contract as `TorchOps`, one kernel per operation. Needs a GPU (or the interpreter)."""

    rms_norm = staticmethod(rms_norm)
    add_rms_norm = staticmethod(add_rms_norm)
    qk_norm_rope = staticmethod(qk_norm_rope)
    silu_and_mul = staticmethod(silu_and_mul)
