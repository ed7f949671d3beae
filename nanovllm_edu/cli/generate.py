"""`nanovllm-edu generate`: prompts in, text out, as it is made.

Read next: `llm.py`, which it calls.
"""

import argparse
import sys
from dataclasses import replace
from time import perf_counter

from nanovllm_edu.cli.make_llm import make_llm, sampling_params
from nanovllm_edu.cli.terminal import printable
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.llm import LLM, Prompt


def run(arguments: argparse.Namespace) -> None:
    """Generates for every prompt; one answer is streamed, several are shown when all are done."""
    params = replace(sampling_params(arguments), n=arguments.n)
    with make_llm(arguments) as llm:
        prompts = as_prompts(llm, arguments)
        begin = perf_counter()
        if len(prompts) == params.n == 1:
            num_tokens = _stream(llm, prompts[0], params)
        else:
            num_tokens = _generate_all(llm, prompts, params, arguments.prompts)
        _tell_speed(num_tokens, perf_counter() - begin)


def as_prompts(llm: LLM, arguments: argparse.Namespace) -> list[Prompt]:
    """The prompts as given, or each as a message in the chat template."""
    if not arguments.chat:
        return list(arguments.prompts)
    return [
        llm.tokenizer.chat_prompt([{"role": "user", "content": text}]) for text in arguments.prompts
    ]


def _stream(llm: LLM, prompt: Prompt, params: SamplingParams) -> int:
    num_tokens = 0
    for part in llm.stream([prompt], params):
        sys.stdout.write(printable(part.text))
        sys.stdout.flush()
        num_tokens += 1
    sys.stdout.write("\n")
    return num_tokens


def _generate_all(
    llm: LLM, prompts: list[Prompt], params: SamplingParams, titles: list[str]
) -> int:
    outputs = llm.generate(prompts, params, use_tqdm=False)
    for title, output in zip(titles, outputs, strict=True):
        for one in output.outputs:
            number = f", {one.index + 1} of {params.n}" if params.n > 1 else ""
            text = printable(one.text).strip("\n")
            sys.stdout.write(f"[{printable(title)}{number}]\n{text}\n\n")
    return sum(len(one.token_ids) for output in outputs for one in output.outputs)


def _tell_speed(num_tokens: int, seconds: float) -> None:
    """On stderr, so that stdout holds the text alone."""
    speed = num_tokens / seconds
    sys.stderr.write(f"{num_tokens} tokens in {seconds:.2f} s ({speed:.0f} tokens/s)\n")
