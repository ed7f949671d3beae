"""Writes the README.md of the model folder from the record of its training run."""

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
| hand-written questions answered right | {hand_written:.1%} |
| training | {tokens:,} tokens in {steps:,} steps, {seconds:.0f} s on {device} |
| loss | {first_loss:.2f} → {last_loss:.3f} per token |

`training_run.json` holds the loss curve, settings, versions, seed and samples of the run. To train
it again, from the root of the repository:

    python -m training.train --out my_model

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
    model, loss, held_out = run["model"], run["loss"], run["evaluation"]["held_out"]
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
        hand_written=run["evaluation"]["hand_written"]["accuracy"],
        asked=asked,
        tokens=run["num_tokens"],
        steps=run["num_steps"],
        seconds=run["seconds"],
        device=run["device"],
        first_loss=loss[0]["loss"],
        last_loss=loss[-1]["loss"],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
