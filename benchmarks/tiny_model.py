"""How well the model in the box answers: 200 held-out questions and sample texts.

Run `python benchmarks/tiny_model.py [MODEL_FOLDER]`. Uses Hugging Face `generate`, so it measures
the weights alone.
"""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from nanovllm_edu.tiny import MODEL_FOLDER
from nanovllm_edu.tiny.evaluate import print_report, report


def main() -> None:
    """Loads the folder, asks the questions and prints the figures."""
    folder = sys.argv[1] if len(sys.argv) > 1 else MODEL_FOLDER
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    print(f"{folder}: {model.num_parameters():,} parameters")
    print_report(report(model, AutoTokenizer.from_pretrained(folder)))


if __name__ == "__main__":
    main()
