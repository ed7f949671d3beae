"""A grammar's masks applied in C, for logits in float32 on a CPU.

torch would look each byte of a mask up, write what is to be added to eight logits, and add it:
three passes. Here it is one.

Read next: `mask.c`; the reference is `hold` in `sampling/edits.py`.
"""

from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nanovllm_edu.native.library import CompileError
from nanovllm_edu.native.threads import load_kernels, num_threads
from nanovllm_edu.sampling.edits import Apply

functions = partial(load_kernels, "mask.c")


def hold(
    logits: Float[Tensor, "rows vocab"], bits: UInt8[Tensor, "rows bytes"]
) -> Float[Tensor, "rows vocab"]:
    """Drops what is not allowed; see `sampling/edits.py`."""
    (num_rows, vocab_size), num_bytes = logits.shape, bits.shape[1]
    assert logits.dtype == torch.float32
    assert bits.dtype == torch.uint8
    assert len(bits) == num_rows
    assert 8 * num_bytes >= vocab_size
    logits, bits = logits.contiguous(), bits.contiguous()
    out = torch.empty_like(logits)
    addresses = (tensor.data_ptr() for tensor in (out, logits, bits))
    functions().hold(*addresses, num_rows, vocab_size, num_bytes, num_threads())
    return out


def faster_stages(device: torch.device) -> dict[str, Apply]:
    """The sampler's stages that have a form in C, by name; none where it cannot be used."""
    if device.type != "cpu":
        return {}
    try:
        functions()
    except CompileError:
        return {}
    return {"grammar": hold}
