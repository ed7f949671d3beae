"""Solutions of lesson 17, a clock you can trust."""

import numpy as np


def kv_tokens_read(num_prompt_tokens, num_output_tokens):
    """The first token comes out of the prompt's step; each decode step reads all that is there."""
    return sum(num_prompt_tokens + i for i in range(1, num_output_tokens))


def fit_clock(samples):
    """Least squares: a line for each sample, a column for each constant."""
    matrix = np.array([(1, rows, kv_tokens) for rows, kv_tokens, _ in samples])
    seconds = np.array([seconds for _, _, seconds in samples])
    return np.linalg.lstsq(matrix, seconds, rcond=None)[0]
