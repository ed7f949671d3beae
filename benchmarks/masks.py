"""What a grammar costs a step of the model in the box on one core.

    python benchmarks/masks.py     # a minute; writes benchmarks/results/masks.md

Steps with a grammar take turns with the same steps without one: the same prompts, as many rows, as
many tokens, all greedy or all drawn. The median of the ratios counts. Both forms go on to the last
token, so that no row leaves before the others. Time is the processor's.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: processor time is to be one core's

import platform
import statistics
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

from cpu import processor

from nanovllm_edu import LLM, SamplingParams, StructuredOutputsParams

PAGE = Path(__file__).parent / "results" / "masks.md"
LENGTH = 64
REPEATS = 7
STORY = {"type": "array", "items": {"type": "string", "minLength": 40}, "minItems": 9}
FORMS = {
    "letters": StructuredOutputsParams(regex="[a-z ,.]{2000}"),
    "a list of strings in JSON": StructuredOutputsParams(json=STORY),
}


def seconds(llm: LLM, params: SamplingParams, num_rows: int) -> float:
    """Processor time of the decode steps; the first step, which computes the prompts, is not in."""
    prompts = [f"{i}. Once upon a time" for i in range(num_rows)]
    seqs = llm.engine.add_requests((prompt, params) for prompt in prompts)
    llm.engine.step()
    begin = time.process_time()
    num_steps = sum(1 for _ in llm.engine.run(0))
    spent = time.process_time() - begin
    assert num_steps == LENGTH - 1, [seq.finish_detail for seq in seqs]
    return spent


def rows(llm: LLM) -> list[str]:
    """The table's lines."""
    lines: list[str] = []
    for name, form in FORMS.items():
        for temperature in (0.0, 1.0):
            plain = SamplingParams(temperature=temperature, max_tokens=LENGTH, ignore_eos=True)
            held = SamplingParams(
                temperature=temperature, max_tokens=LENGTH, structured_outputs=form
            )
            for num_rows in (1, 16, 64):
                turns = [
                    (seconds(llm, plain, num_rows), seconds(llm, held, num_rows))
                    for _ in range(REPEATS)
                ][1:]
                ratio = statistics.median(after / before for before, after in turns)
                step = statistics.median(before for before, _ in turns) / (LENGTH - 1)
                kind = "greedy" if temperature == 0 else "drawn"
                lines.append(
                    f"| {name} | {kind} | {num_rows} | {1000 * step:.2f} | {ratio - 1:+.1%} |"
                )
                print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measures, and writes the page."""
    with LLM(device="cpu", num_blocks=1024, max_num_seqs=64) as llm:
        table = rows(llm)
    text = [
        "# What a grammar costs",
        "",
        f"Decode steps with a grammar against the same steps without: {LENGTH} tokens of each row, "
        f"the median of {REPEATS - 1} turns. A mask has a bit for each of the 2,560 tokens.",
        "",
        "| form | tokens are | rows | ms a step without | with a grammar |",
        "|---|---|---:|---:|---:|",
        *table,
        "",
        f"The model in the box on {processor()}, processor time of one core, torch "
        f"{version('torch')}, llguidance {version('llguidance')}, Python "
        f"{platform.python_version()}, {date.today().isoformat()}; load at the end "
        f"{os.getloadavg()[0]:.1f}. `python benchmarks/masks.py`",
        "",
    ]
    PAGE.write_text("\n".join(text))


if __name__ == "__main__":
    main()
