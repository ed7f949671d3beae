"""Exercises of lesson 10, the model runner: lay a plan out as a batch, and find its logits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import torch

from nanovllm_edu.core.events import counted
from nanovllm_edu.core.plan import Span, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.lessons.checks import items, require, require_equal, whole_numbers
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.graph_exercise import FEED_GRAPH
from nanovllm_edu.lessons.shown import shown
from nanovllm_edu.llm import LLM
from nanovllm_edu.paged.batch import Batch, DeviceTables

PROMPTS = (list(range(10, 17)), list(range(30, 53)), [60, 61])
GREEDY = SamplingParams(temperature=0, max_tokens=5, ignore_eos=True)


Prompts = Sequence[list[int]]


def _random_prompts(random: Random) -> Prompts:
    return [random.choices(range(10, 900), k=random.randint(1, 20)) for _ in range(4)]


def _busy_llm(prompts: Prompts) -> LLM:
    """A few prompts and eight tokens per step: most of the steps mix prefill and decode."""
    llm = LLM(num_blocks=48, block_size=4, max_num_batched_tokens=8, enforce_eager=True)
    for prompt in prompts:
        llm.engine.add_request(list(prompt), GREEDY)
    return llm


class _LearnersTables(DeviceTables):
    """Tables that show every plan and batch to somebody, who may answer with another batch."""

    look: Callable[[StepPlan, Batch], Batch]

    __slots__ = ("look",)

    def prepare(self, plan: StepPlan) -> Batch:
        return self.look(plan, super().prepare(plan))


def _run(
    look: Callable[[StepPlan, Batch], Batch], prompts: Prompts
) -> list[dict[int, tuple[int, ...]]]:
    """The tokens of every step of an engine whose batches go through `look`."""
    with _busy_llm(prompts) as llm:
        runner: Any = llm.engine.runner
        tables = runner.tables
        mine = _LearnersTables(tables.block_tables, tables.token_ids, tables.block_size)
        mine.look = look
        runner.tables = mine
        return [dict(record.new_tokens) for record in llm.engine.run(depth=0)]


def _describe(spans: Sequence[Span]) -> str:
    return ", ".join(f"[{span.start}, {span.end})" for span in spans)


# --------------------------------------------------------------------------- 10.1 layout

Layout = Callable[[Sequence[Span]], Any]
NAMES = ("positions", "query_starts", "context_lens")


def _check_layout(layout: Layout, random: Random) -> str:
    num_steps = 0

    def look(plan: StepPlan, batch: Batch) -> Batch:
        nonlocal num_steps
        num_steps += 1
        got = layout(plan.spans)
        parts = items(got, "What you return")
        require(
            len(parts) == 3 and not any(isinstance(part, int) for part in parts),
            f"Return three lists, {', '.join(NAMES)}; you gave {shown(got)}.",
        )
        named = zip(NAMES, parts, strict=True)
        mine = {name: whole_numbers(values, name) for name, values in named}
        _compare_layout(plan.spans, mine, batch)
        return replace(
            batch,
            positions=torch.tensor(mine["positions"]),
            query_starts=torch.tensor(mine["query_starts"], dtype=torch.int32),
            context_lens=torch.tensor(mine["context_lens"], dtype=torch.int32),
        )

    for prompts in (PROMPTS, _random_prompts(random)):
        _run(look, prompts)
    return f"{num_steps} steps of the engine ran on your layout."


def _compare_layout(spans: Sequence[Span], mine: Mapping[str, list[int]], batch: Batch) -> None:
    sizes = [span.num_tokens for span in spans]
    within_spans = [i for size in sizes for i in range(size)]
    wrong = {
        "positions": (
            (within_spans, "Positions count from the start of the sequence, not of the span."),
            (
                list(range(sum(sizes))),
                "Positions count within each sequence, not over the batch.",
            ),
        ),
        "query_starts": (
            (
                batch.query_starts.tolist()[:-1],
                "There is one entry more than there are sequences: the end of the last one.",
            ),
            (sizes, "They are sums: each span begins where the one before it ends."),
        ),
        "context_lens": (
            (sizes, "A context is everything up to the end of the span, not the span alone."),
            (
                [span.start for span in spans],
                "The tokens of this step belong to the context too.",
            ),
        ),
    }
    for name in NAMES:
        want, got = getattr(batch, name).tolist(), mine[name]
        reasons = [text for values, text in wrong[name] if values == got]
        require(
            got == want,
            f"Spans {_describe(spans)}: {name} is {want}; you gave {shown(got)}."
            + "".join(f" {text}" for text in reasons[:1]),
        )


LAYOUT = Exercise(
    "10.1",
    "Lay out a batch",
    "layout",
    "medium",
    (
        "All spans lie one after the other in a single run of tokens. Each span is [start, end).",
        "positions: range(span.start, span.end) of each span. query_starts: 0, then the running "
        "sum of num_tokens. context_lens: how much of the sequence is in the cache afterwards.",
        "query_starts = [0]; for span in spans: query_starts.append(query_starts[-1] + "
        "span.num_tokens). context_lens = [span.end for span in spans].",
    ),
    _check_layout,
)

# ----------------------------------------------------------------------- 10.2 logit rows

LogitRows = Callable[[Sequence[Span]], Any]


def _check_logit_rows(logit_rows: LogitRows, random: Random) -> str:
    def look(plan: StepPlan, batch: Batch) -> Batch:
        got, want = whole_numbers(logit_rows(plan.spans), "The rows"), batch.logit_rows.tolist()
        lengths = [span.num_tokens for span in plan.spans]
        sampled = [span.is_sampled for span in plan.spans]
        require(
            len(got) == len(want),
            f"Spans of {lengths} tokens, is_sampled={sampled}: {counted(len(want), 'row')} "
            f"to sample from; you gave {shown(got)}. A span that does not reach the end of its "
            "prompt yields no token.",
        )
        require(
            got == want,
            f"Spans of {lengths} tokens, is_sampled={sampled}: the rows are {want}; you gave "
            f"{shown(got)}. The next token follows from the *last* token of a span, counted over "
            "the whole batch.",
        )
        return replace(batch, logit_rows=torch.tensor(got, dtype=torch.int64))

    for prompts in (PROMPTS, _random_prompts(random)):
        usual = _run(lambda plan, batch: batch, prompts)
        require_equal(_run(look, prompts), usual, "The tokens of the engine")
    return "The engine samples from your rows, and says what it always said."


LOGIT_ROWS = Exercise(
    "10.2",
    "Which rows have logits?",
    "logit_rows",
    "easy",
    (
        "Of each span only one token's logits are wanted, and only if it is sampled from.",
        "Keep a running end of the spans. The last token of a span is at that end minus one.",
        "end = 0; for span in spans: end += span.num_tokens; if span.is_sampled: "
        "rows.append(end - 1)",
    ),
    _check_logit_rows,
)

EXERCISES = (LAYOUT, LOGIT_ROWS, FEED_GRAPH)
