"""`nanovllm-edu steps`: the engine one step at a time, each with its reasons.

Read next: `step_view.py`.
"""

import argparse

from rich.text import Text

from nanovllm_edu.cli.console import console
from nanovllm_edu.cli.generate import as_prompts
from nanovllm_edu.cli.make_llm import make_llm, sampling_params
from nanovllm_edu.cli.pool_view import colour_of, legend
from nanovllm_edu.cli.step_view import StepView
from nanovllm_edu.cli.terminal import quoted
from nanovllm_edu.errors import ConfigError
from nanovllm_edu.llm import LLM


def run(arguments: argparse.Namespace) -> None:
    """Adds every prompt, then takes steps until all are finished."""
    if arguments.max_steps is not None and arguments.max_steps < 1:
        raise ConfigError(f"--max-steps {arguments.max_steps} is below 1; take at least one step.")
    params = sampling_params(arguments)
    with make_llm(arguments) as llm:
        seq_ids = [llm.engine.add_request(p, params) for p in as_prompts(llm, arguments)]
        view = StepView(llm.tokenizer, arguments.every_event)
        terminal = console()
        terminal.print(legend())
        outputs: dict[int, list[int]] = {seq_id: [] for seq_id in seq_ids}
        num_steps = 0
        while llm.engine.has_unfinished_requests() and num_steps != arguments.max_steps:
            step = llm.engine.step()
            terminal.print(view.panel(step, llm.engine.state()))
            for seq_id, token_ids in step.new_tokens.items():
                outputs[seq_id] += token_ids
            num_steps += 1
        terminal.print(_texts(llm, dict(zip(seq_ids, arguments.prompts, strict=True)), outputs))


def _texts(llm: LLM, prompts: dict[int, str], outputs: dict[int, list[int]]) -> Text:
    """What each sequence has become."""
    lines = [
        Text.assemble(
            (f"seq {seq_id}  ", colour_of(seq_id)),
            (quoted(prompt), "dim"),
            f" → {quoted(llm.tokenizer.decode(outputs[seq_id]), 200)}",
        )
        for seq_id, prompt in prompts.items()
    ]
    return Text("\n").join(lines)
