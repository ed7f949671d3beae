"""Kernels in Triton's language: one op a file, with its readable `reference` beside it or named.

Importing a module of this package needs triton; nothing does unless it is going to be used. With
`TRITON_INTERPRET=1` every kernel runs on the CPU, which is how the tests check them without a GPU.
"""
