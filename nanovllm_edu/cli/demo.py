"""`nanovllm-edu demo`: six questions under one system message, in a cache that is too small.

The first blocks of all six are the same, so they are computed once and shared. As the answers grow
the pool runs dry: somebody is preempted, waits, and is recomputed out of what is still cached. The
table shows the steps in which something was decided; plain decode steps are left out.

Read next: `steps.py` shows every step of your own prompts.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nanovllm_edu.cli.console import console
from nanovllm_edu.cli.make_llm import make_llm, sampling_params
from nanovllm_edu.cli.pool_view import colour_of, legend, pool
from nanovllm_edu.cli.terminal import printable
from nanovllm_edu.core.events import Admitted, BlockEvicted, Event, Finished, Preempted
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.introspect import Recorder, Recording, to_html
from nanovllm_edu.llm import LLM

SYSTEM = (
    "You are Nano-vLLM, a small and friendly model. Answer in short and simple sentences. "
    "Explain technical terms in plain words."
)
QUESTIONS = (
    "What is a KV cache?",
    "What is a block table?",
    "What is prefix caching?",
    "Who is the baker?",
    "Tell me a story about the baker.",
    "What is the meaning of life?",
)


@dataclass(slots=True)
class _Numbers:
    """What the run adds up to."""

    num_steps: int = 0
    num_computed_tokens: int = 0
    num_cached_tokens: int = 0
    num_evictions: int = 0
    preempted: list[int] = field(default_factory=list[int])
    output_ids: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def add(self, step: StepRecord) -> None:
        """Counts one step."""
        self.num_steps += 1
        self.num_computed_tokens += step.num_tokens
        self.preempted += step.preempted
        for event in step.events:
            self.num_evictions += isinstance(event, BlockEvicted)
            if isinstance(event, Admitted):
                self.num_cached_tokens += event.num_cached_tokens
        for seq_id, token_ids in step.new_tokens.items():
            self.output_ids.setdefault(seq_id, []).extend(token_ids)


def run(arguments: argparse.Namespace) -> None:
    """Runs the six questions and shows decisions, answers and numbers."""
    params, page = sampling_params(arguments), Path(arguments.html)
    if not page.parent.is_dir():
        raise ConfigError(f"--html {page}: there is no folder {page.parent}; name one that exists.")
    with make_llm(arguments) as llm, Recorder(llm.engine) as recorder:
        for question in QUESTIONS:
            recorder.add_request(_prompt(llm, question), params)
        terminal, numbers, begin = console(), _Numbers(), perf_counter()
        terminal.print(legend())
        while llm.engine.has_unfinished_requests():
            step = recorder.step()
            numbers.add(step)
            _show(terminal, step, llm)
        seconds = perf_counter() - begin
        _show_answers(terminal, llm, numbers)
        _show_numbers(terminal, numbers, seconds)
        _write_page(terminal, recorder.recording, page)


def _write_page(terminal: Console, recording: Recording, page: Path) -> None:
    """The same run, to step through in a browser."""
    try:
        to_html(recording, page, "nanovllm-edu demo")
    except OSError as error:
        raise ConfigError(f"--html {page} cannot be written: {error.strerror}.") from error
    terminal.print(f"\nEvery step of it, to click through: open {page} in a browser.", markup=False)


def _prompt(llm: LLM, question: str) -> list[int]:
    """The system message, which all share, and one question."""
    return llm.tokenizer.chat_prompt(
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    )


def _show(terminal: Console, step: StepRecord, llm: LLM) -> None:
    """One step, if something was decided in it."""
    news = list(_news(step))
    if not news:
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=9)
    grid.add_row(Text(f"step {step.step_id}", "bold"), pool(llm.engine.state()))
    for line in news:
        grid.add_row("", line)
    terminal.print(grid)


def _news(step: StepRecord) -> Iterator[Text]:
    for event in step.events:
        if text := _sentence(event):
            yield Text(text, colour_of(event.seq_id))


def _sentence(event: Event) -> str | None:
    """The decisions of the demo, shorter than `event.why`."""
    match event:
        case Admitted():
            return (
                f"seq {event.seq_id} starts: {event.num_cached_tokens} of {event.num_tokens} "
                f"tokens are cached, {event.num_planned_tokens} are computed"
            )
        case Preempted():
            return f"seq {event.seq_id} is preempted and gives back {event.num_blocks} blocks: " + (
                event.reason
            )
        case Finished():
            return f"seq {event.seq_id} is finished: {event.detail}"
        case _:
            return None


def _show_answers(terminal: Console, llm: LLM, numbers: _Numbers) -> None:
    terminal.print()
    for seq_id, question in enumerate(QUESTIONS):
        answer = llm.tokenizer.decode(numbers.output_ids.get(seq_id, []))
        grid = Table.grid(padding=(0, 2, 0, 0))
        style = f"bold {colour_of(seq_id)}"
        grid.add_row(Text(f"seq {seq_id}", style), Text(question, style))
        grid.add_row("", Text(printable(answer).strip()))
        terminal.print(grid)


def _who(seq_ids: list[int]) -> list[str]:
    return [f"(seq {', '.join(map(str, seq_ids))})"] if seq_ids else []


def _show_numbers(terminal: Console, numbers: _Numbers, seconds: float) -> None:
    num_output = sum(map(len, numbers.output_ids.values()))
    rows = {
        "steps": numbers.num_steps,
        "tokens generated": f"{num_output} in {seconds:.2f} s ({num_output / seconds:.0f}/s)",
        "tokens computed": numbers.num_computed_tokens,
        "tokens found in the cache": numbers.num_cached_tokens,
        "preemptions": " ".join([str(len(numbers.preempted)), *_who(numbers.preempted)]),
        "blocks evicted": numbers.num_evictions,
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, value in rows.items():
        grid.add_row(Text(name, "dim"), str(value))
    terminal.print()
    terminal.print(grid)
