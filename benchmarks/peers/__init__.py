"""Engines that people use on a CPU, each behind the same two questions: see `serve.py`."""
