"""What some GPU tests need."""

import pytest
import torch


@pytest.fixture
def hopper_gpu() -> None:
    """A GPU that our kernels in CUDA C++ run on."""
    from nanovllm_edu.kernels.hopper import compiler

    reason = compiler.why_unavailable(torch.device("cuda:0"), torch.bfloat16)
    if reason:
        pytest.skip(reason)
