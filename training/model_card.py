"""Writes the README.md of a model folder from the record of its training run."""

from pathlib import Path
from typing import Any

_CARD = """\
---
license: mit
language: en
pipeline_tag: text-generation
library_name: transformers
---

# The model in the box

A chat model of {parameters:,} parameters with the Qwen3 architecture, trained from scratch on text
that a program in `training/` writes. It knows the village Willow Bay, the terms of LLM
inference, short stories, counting and copying. It knows nothing else and says so.
{notice}
| | |
|---|---|
| layers / hidden / heads / KV heads / head_dim | {layers} / {hidden} / {heads} / {kv_heads} / 64 |
| vocabulary | {vocab} tokens, byte-level byte pair encoding |
| context length | {context} tokens |
| weights | bfloat16, safetensors |
| held-out questions answered right | {accuracy:.1%} of {asked} |
| questions worded by hand answered right | {hand_written:.1%} of {asked_by_hand} |
| bare beginnings that go on as text | {begun[right]} of {begun[of]} |
| sentences in more than 2 of {told[stories]} stories at temperature 0.8 | {repeated} |
| training | {tokens:,} tokens in {steps:,} steps, {seconds:.0f} s on {device}{in_runs} |
| loss | {first_loss:.2f} → {last_loss:.3f} per token that the model says |

`training_run.json` holds the loss curve, settings, versions, seed and samples of the run. To train
it again, from the root of the repository:

    python -m training.train --out my_model

`--weights my_model` goes on with what there is.

To use it:

    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("nanovllm_edu/tiny/model")
    model = AutoModelForCausalLM.from_pretrained("nanovllm_edu/tiny/model")

The prompt format is ChatML; a turn ends with `<|im_end|>`, which is also the end token of plain
text. Answers come from a small table of facts: do not rely on them outside of this project.
"""

_PLACEHOLDER = """
**This is a placeholder: a very short run, to be replaced by the fully trained weights.**
"""


def write_model_card(folder: Path, run: dict[str, Any]) -> None:
    """Writes `README.md` into a model folder.

    Args:
        folder: The model folder.
        run: The content of `training_run.json`.
    """
    model, found = run["model"], run["evaluation"]
    held_out, by_hand = found["held_out"], found["hand_written"]
    runs = [*run.get("before", []), run]
    loss = [point for each in runs for point in each["loss"]]
    asked = run["settings"]["num_questions"]
    card = _CARD.format(
        notice="" if held_out["accuracy"] >= 0.95 else _PLACEHOLDER,
        parameters=run["num_parameters"],
        layers=model["num_hidden_layers"],
        hidden=model["hidden_size"],
        heads=model["num_attention_heads"],
        kv_heads=model["num_key_value_heads"],
        vocab=model["vocab_size"],
        context=model["max_position_embeddings"],
        accuracy=held_out["accuracy"],
        hand_written=by_hand["accuracy"],
        asked_by_hand=by_hand["right"] + len(by_hand["wrong"]),
        begun=found["beginnings"],
        told=found["variety"],
        repeated=len(found["variety"]["in_more_than_two"]),
        in_runs=f", in {len(runs)} runs" if len(runs) > 1 else "",
        asked=asked,
        tokens=sum(each["num_tokens"] for each in runs),
        steps=sum(each["num_steps"] for each in runs),
        seconds=sum(each["seconds"] for each in runs),
        device=run["device"],
        first_loss=loss[0]["loss"],
        last_loss=loss[-1]["loss"],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


_SHAPE = (
    *("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads"),
    "head_dim",
)
_DRAFT_CARD = """\
---
license: mit
language: en
pipeline_tag: text-generation
library_name: transformers
---

# The draft model in the box

A model of {parameters:,} parameters with the Qwen3 architecture and the tokenizer of the model in
the box. It guesses what that one will say (speculative decoding), and is good for nothing else.

| | |
|---|---|
| layers / hidden / heads / KV heads / head_dim | {shape} |
| vocabulary | {vocab} tokens, those of the model in the box |
| context length | {context} tokens |
| weights | bfloat16, safetensors |
| training | {tokens:,} tokens in {steps:,} steps, {minutes:.0f} minutes on {device} |
| loss | {first_loss:.2f} → {last_loss:.2f} per token that a model says |

How many of four guesses come true, over {asked} requests each (`training/acceptance.py`). *Right*:
of the guesses that were reached, for behind a wrong one nothing counts any more. *Accepted*: of
all. *Tokens a step*: with the one that the large model adds.

{acceptance}

`training_run.json` holds the loss curve, settings, versions and seed of the run. To train it again
and to count again, from the root of the repository:

    python -m training.train_draft --out my_draft
    python -m training.acceptance my_draft

To use it:

    from nanovllm_edu import LLM, ModelProposer

    llm = LLM(draft_proposer=ModelProposer())
"""


def write_draft_card(folder: Path, run: dict[str, Any], acceptance: str) -> None:
    """Writes `README.md` into the folder of a draft model.

    Args:
        folder: The model folder.
        run: The content of `training_run.json`.
        acceptance: The table of `training/acceptance.py`.
    """
    model, loss = run["model"], run["loss"]
    card = _DRAFT_CARD.format(
        parameters=run["num_parameters"],
        shape=" / ".join(str(model[key]) for key in _SHAPE),
        vocab=model["vocab_size"],
        context=model["max_position_embeddings"],
        tokens=run["num_tokens"],
        steps=run["num_steps"],
        minutes=run["seconds"] / 60,
        device=run["device"],
        first_loss=loss[0]["loss"],
        last_loss=loss[-1]["loss"],
        asked=run["settings"]["num_questions"],
        acceptance=acceptance,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
