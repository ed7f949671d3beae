"""`native/draw.c` draws the token of `sampling/plain.py`, its readable reference."""

from array import array
from random import Random

import pytest

from nanovllm_edu.runners.browser.decoder import kernels
from nanovllm_edu.runners.browser.floats import address
from nanovllm_edu.sampling import plain
from nanovllm_edu.sampling.plain_noise import row_keys


@pytest.mark.parametrize("vocab_size", [1, 2, 7, 2560])
def test_the_kernel_draws_what_the_reference_draws(vocab_size: int):
    random, drawing = Random(vocab_size), kernels("draw.c")
    for seed in range(40):
        logits = array("f", (random.gauss(0, 3) for _ in range(vocab_size)))
        keys = row_keys(random.randrange(2**64), seed)
        got = drawing.draw(address(logits), *keys, vocab_size)
        assert got == plain.draw(logits, *keys)
