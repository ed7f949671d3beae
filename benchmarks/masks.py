"""What a grammar costs a step of the model in the box on one core.

    python benchmarks/masks.py     # a minute; writes benchmarks/results/masks.md

Within one run, the time that goes to masks is held against all of it: the parser (masks, and tokens
taken in), and the sampler's stage. That is steadier than two runs held against each other. The
median of the runs counts. The clock is the wall's: to ask for the processor's own takes as long as
to make a mask, and there are two readings for each. One thread computes, so on a quiet machine they
say the same.

A parser that counts letters is in a new state at each of them, and what it had found out before is
of no use to it: the dearest form.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: one core's time is to be measured

import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cpu import processor

from nanovllm_edu import LLM, SamplingParams, StructuredOutputsParams
from nanovllm_edu.grammar import Grammar
from nanovllm_edu.native import mask
from nanovllm_edu.sampling import edits

PAGE = Path(__file__).parent / "results" / "masks.md"
LENGTH = 64
REPEATS = 5
LIST = {"type": "array", "items": {"type": "string"}, "minItems": LENGTH}
FORMS = {
    "a list of strings in JSON": StructuredOutputsParams(json=LIST),
    "small letters": StructuredOutputsParams(regex=r"[a-z ,.]+\x00"),
    "so many small letters": StructuredOutputsParams(regex="[a-z ,.]{2000}"),
}
"""None of them is over before the last token."""
SPENT = {"parser": 0.0, "sampler": 0.0}


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose time is added up."""

    def call(*args: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*args)
        finally:
            SPENT[name] += time.perf_counter() - begin

    return call


def time_the_parts() -> None:
    """From now on `SPENT` grows."""
    for name in ("masks", "accept"):
        setattr(Grammar, name, timed("parser", getattr(Grammar, name)))
    first, *others = edits.STAGES
    edits.STAGES = (first._replace(build=timed("sampler", first.build)), *others)
    mask.hold = timed("sampler", mask.hold)


def shares(llm: LLM, params: SamplingParams, num_rows: int) -> tuple[float, float, float]:
    """Seconds of a decode step, and which share of it the parser and the sampler's stage have."""
    prompts = [f"{i}. Once upon a time" for i in range(num_rows)]
    seqs = llm.engine.add_requests((prompt, params) for prompt in prompts)
    llm.engine.step()
    SPENT.update(parser=0.0, sampler=0.0)
    begin = time.perf_counter()
    num_steps = sum(1 for _ in llm.engine.run(0))
    spent = time.perf_counter() - begin
    assert num_steps == LENGTH - 1, [seq.finish_detail for seq in seqs]
    return spent / num_steps, SPENT["parser"] / spent, SPENT["sampler"] / spent


def main() -> None:
    """Measures, and writes the page."""
    time_the_parts()
    lines: list[str] = []
    with LLM(device="cpu", num_blocks=1024, max_num_seqs=64) as llm:
        for name, form in FORMS.items():
            params = SamplingParams(max_tokens=LENGTH, structured_outputs=form, seed=1)
            for num_rows in (1, 16, 64):
                runs = [shares(llm, params, num_rows) for _ in range(REPEATS)]
                step, parser, stage = map(statistics.median, zip(*runs, strict=True))
                lines.append(
                    f"| {name} | {num_rows} | {1000 * step:.2f} | {parser:.1%} | {stage:.1%} | "
                    f"{parser + stage:.1%} |"
                )
                print(lines[-1], flush=True)
    text = [
        "# What a grammar costs",
        "",
        f"The share of a decode step that goes to masks, where every row has a grammar: {LENGTH} "
        f"tokens of each row, drawn, the median of {REPEATS} runs. A mask has a bit for each of "
        "the 2,560 tokens. The longer a step takes anyway, as with any larger model, the smaller "
        "the share.",
        "",
        "| form | rows | ms a step | parser | sampler's stage | together |",
        "|---|---:|---:|---:|---:|---:|",
        *lines,
        "",
        f"The model in the box on {processor()}, one thread, wall time, torch "
        f"{version('torch')}, llguidance {version('llguidance')}, Python "
        f"{platform.python_version()}, {date.today().isoformat()}; load at the end "
        f"{os.getloadavg()[0]:.1f}. `python benchmarks/masks.py`",
        "",
    ]
    PAGE.write_text("\n".join(text))


if __name__ == "__main__":
    main()
