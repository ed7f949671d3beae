"""`Work`: what a step makes a device do, in the numbers that its time depends on.

    steps            1: the weights are read once, and everything is launched once
    rows             sequences that go on by one token
    kv_tokens        tokens whose keys and values these rows read
    prompt_steps     1 if there are prompts in it: other kernels, and other graphs
    prompts          sequences of which several tokens are computed at once
    prompt_tokens    those tokens
    attention_pairs  (token, token it attends to) of these

A step's time is taken to be a sum: so many seconds of each. That is a model, and a simple one: it
knows neither graphs of certain sizes nor a device that is full at 130 rows and not at 120. How
wrong it is gets measured, not argued (`benchmarks/virtual.py`).

Read next: `calibration.py`, the seconds of each.
"""

from typing import NamedTuple

from nanovllm_edu.core.plan import StepPlan


class Work(NamedTuple):
    """One step's, counted from its plan."""

    steps: int
    rows: int
    kv_tokens: int
    prompt_steps: int
    prompts: int
    prompt_tokens: int
    attention_pairs: int


NAMES = Work._fields


def work_of(plan: StepPlan) -> Work:
    """What a plan asks of a device."""
    spans = plan.spans
    num_rows, num_tokens = len(spans), sum(spans.nums_of_tokens)
    kv_tokens = sum(spans.starts) + num_rows
    if num_tokens == num_rows:  # the everyday step; this is asked 10^5 times and more
        return Work(1, num_rows, kv_tokens, 0, 0, 0, 0)
    prompts = prompt_tokens = attention_pairs = 0
    for start, length in zip(spans.starts, spans.nums_of_tokens, strict=True):
        if length > 1:
            prompts += 1
            prompt_tokens += length
            attention_pairs += length * start + length * (length + 1) // 2
            kv_tokens -= start + 1
    rows, has_prompts = num_rows - prompts, int(prompts > 0)
    return Work(1, rows, kv_tokens, has_prompts, prompts, prompt_tokens, attention_pairs)
