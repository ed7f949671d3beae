"""Kernels in CUDA C++, for what Hopper GPUs have and Triton hides: each a `.cu` and who binds it."""
