"""The command `nanovllm-edu`. Read next: `main.py`."""

from nanovllm_edu.cli.main import main as main
