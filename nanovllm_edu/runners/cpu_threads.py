"""How many threads a step uses on a CPU: as many as its work is worth.

Our kernels in C decide that job by job (`native/threads.c`). torch, which does the little that is
left, gets one thread then. Where torch does everything, since no C can be compiled or a dtype other
than float32 was asked for, a small step gets one and a large one all of them.

Read next: `native/threads.py`.
"""

from contextlib import AbstractContextManager, nullcontext

import torch

from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.native.gemm import Int8Gemm, NativeGemm
from nanovllm_edu.native.threads import num_threads, torch_limited_to

LARGE = 2 * 10**9
"""Multiplications of a step (tokens times weights) that one core takes some 30 ms for."""


class CpuThreads:
    """What a runner asks before each step.

    Args:
        model: The one that runs.
        attention: The name of the backend.
    """

    def __init__(self, model: Qwen3ForCausalLM, attention: str) -> None:
        weight = model.embed_tokens.weight
        self._is_on_cpu = weight.device.type == "cpu"
        is_ours = isinstance(model.embed_tokens.gemm, NativeGemm | Int8Gemm)
        self._is_in_c = is_ours and attention == "native"
        self._large_step = LARGE / model.config.num_parameters

    def for_step(self, num_tokens: int) -> AbstractContextManager[None]:
        """A block in which torch uses what it should for a step of so many tokens."""
        if not self._is_on_cpu or (not self._is_in_c and num_tokens >= self._large_step):
            return nullcontext()
        return torch_limited_to(1)

    def describe(self) -> tuple[str, str]:
        """How many at most, and how they behave, for people to read."""
        most = f"up to {num_threads()}"
        if torch.get_num_threads() == 1:
            return "1", "torch sees one core, or was told so"
        if self._is_in_c:
            return most, "asleep while they wait; a job gets as many as it is worth"
        return most, (
            f"torch's; one for steps of fewer than {self._large_step:.0f} tokens, since they burn "
            "their core while they wait"
        )
