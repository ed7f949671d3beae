"""Kernels in CUDA C++, for what Hopper GPUs have and Triton hides; and who binds each."""
