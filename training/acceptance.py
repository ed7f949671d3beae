"""Counts how many guesses of a draft model come true: `python -m training.acceptance [FOLDER]`.

The model in the box answers held-out questions and goes on with stories that the corpus does not
hold, greedily and at temperature 0.8, while the draft model guesses four tokens a step. Three
figures of each:

    right         of the guesses that were reached: behind a wrong one nothing counts any more
    accepted      of all guesses that were made
    tokens        that a step settles, with the one that the large model adds

`train_draft.py` writes them into the model's card. This is the one file here that runs the engine.
"""

import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from nanovllm_edu import LLM, ModelProposer, SamplingParams
from nanovllm_edu.core.events import DraftVerified
from nanovllm_edu.models.folder import TINY_DRAFT_FOLDER
from training.questions import held_out_questions
from training.stories import story
from training.tokens import END_OF_TURN, START_OF_TURN

NUM_GUESSES = 4
TEMPERATURES = (0.0, 0.8)


def prompts_of_questions(count: int) -> list[str]:
    """Held-out questions as chats, up to where the answer begins."""
    return [
        f"{START_OF_TURN}user\n{question.text}{END_OF_TURN}\n{START_OF_TURN}assistant\n"
        for question in held_out_questions(count)
    ]


def prompts_of_stories(count: int) -> list[str]:
    """First sentences of stories that were drawn for nobody else."""
    stories = (story(Random(f"acceptance-{i}")) for i in range(count))
    return [text.split(". ")[0] + "." for text in stories]


def counted(events: Iterable[DraftVerified]) -> dict[str, float]:
    """The three figures, and how many steps they were counted over."""
    full = [event for event in events if len(event.drafted) == NUM_GUESSES]
    num_accepted = sum(event.num_accepted for event in full)
    num_wrong = sum(event.num_accepted < NUM_GUESSES for event in full)
    return {
        "right": round(num_accepted / (num_accepted + num_wrong), 4),
        "accepted": round(num_accepted / (NUM_GUESSES * len(full)), 4),
        "tokens": round(1 + num_accepted / len(full), 3),
        "steps": len(full),
    }


def acceptance(folder: str | Path, count: int = 60, max_tokens: int = 64) -> dict[str, Any]:
    """What is asked, and at which temperature -> the figures, over `count` requests each."""
    found = {}
    options: dict[str, Any] = {"max_num_seqs": count, "max_model_len": 512}
    with (
        closing(ModelProposer(folder, NUM_GUESSES, **options)) as proposer,
        LLM(draft_proposer=proposer, **options) as llm,
    ):
        for name, prompts in (
            ("held-out questions", prompts_of_questions(count)),
            ("stories", prompts_of_stories(count)),
        ):
            for temperature in TEMPERATURES:
                ways = (
                    SamplingParams(temperature=temperature, seed=i, max_tokens=max_tokens)
                    for i in range(count)
                )
                llm.engine.add_requests(zip(prompts, ways, strict=True))
                events = [event for record in llm.engine.run(0) for event in record.events]
                label = f"{name}, {f'temperature {temperature}' if temperature else 'greedy'}"
                found[label] = counted(e for e in events if isinstance(e, DraftVerified))
    return found


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| what is asked | right | accepted | tokens a step |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {label} | {row['right']:.0%} | {row['accepted']:.0%} | {row['tokens']:.2f} |"
        for label, row in found.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Counts and prints."""
    print(table(acceptance(sys.argv[1] if len(sys.argv) > 1 else TINY_DRAFT_FOLDER)))


if __name__ == "__main__":
    main()
