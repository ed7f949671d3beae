"""A step as tensors, and the paged memory they point into."""
