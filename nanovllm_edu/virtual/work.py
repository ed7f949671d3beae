"""`Work`: what a step makes a device do, in the numbers that its time depends on.

    steps            1: the weights are read once, and everything is launched once
    rows             sequences that go on by one token
    kv_tokens        tokens whose keys and values these rows read
    prompt_steps     1 if there are prompts in it: other kernels, and other graphs
    prompts          sequences of which several tokens are computed at once
    prompt_tokens    those tokens
    attention_pairs  (token, token it attends to) of these
    passes           of all its tokens, six at a time, over the weights
    large_steps      1 if it is not small: Python runs between its kernels

A step's time is taken to be a sum: so many seconds of each. That is a model, and a simple one: it
knows neither graphs of certain sizes nor a device that is full at 130 rows and not at 120. How
wrong it is gets measured, not argued (`benchmarks/virtual.py`).

Two of its kinds bend the line. Our kernels on a CPU multiply six tokens at a time
(`native/gemm.c`): a seventh costs a pass of its own, and the five after it next to nothing. And a
small step is launched in one go, from a tape (`runners/taped.py`), a large one kernel by kernel. On
a device that knows no such difference the fit finds next to no seconds for it.

Read next: `calibration.py`, the seconds of each.
"""

from typing import NamedTuple

from nanovllm_edu.core.plan import StepPlan
from nanovllm_edu.runners.small_steps import is_small

TOKENS_A_PASS = 6
"""`ROWS` of our kernels where vectors have 256 bits; where they have 512, two passes are one."""


class Work(NamedTuple):
    """One step's, counted from its plan."""

    steps: int
    rows: int
    kv_tokens: int
    prompt_steps: int
    prompts: int
    prompt_tokens: int
    attention_pairs: int
    passes: int = 0
    large_steps: int = 0


NAMES = Work._fields


def work_of(plan: StepPlan) -> Work:
    """What a plan asks of a device."""
    spans = plan.spans
    num_rows, num_tokens = len(spans), sum(spans.nums_of_tokens)
    kv_tokens = sum(spans.starts) + num_rows
    prompts = prompt_tokens = attention_pairs = 0
    if num_tokens > num_rows:  # not the everyday step; this is asked 10^5 times and more
        for start, length in zip(spans.starts, spans.nums_of_tokens, strict=True):
            if length > 1:
                prompts += 1
                prompt_tokens += length
                attention_pairs += length * start + length * (length + 1) // 2
                kv_tokens -= start + 1
    return Work(
        steps=1,
        rows=num_rows - prompts,
        kv_tokens=kv_tokens,
        prompt_steps=int(prompts > 0),
        prompts=prompts,
        prompt_tokens=prompt_tokens,
        attention_pairs=attention_pairs,
        passes=-(-num_tokens // TOKENS_A_PASS),
        large_steps=int(num_tokens > 0 and not is_small(spans)),
    )
