"""Parses the command line and calls the command."""

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="nanovllm-edu")
    parser.parse_args(arguments)
    return 0
