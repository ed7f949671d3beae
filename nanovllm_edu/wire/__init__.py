"""Plans and outputs as bytes, for a model in another process or on another machine.

Read in this order: `wire/messages.py`, `wire/bounds.py`; then
`runners/remote.py`, which sends them, and `serve/model_host.py`, which answers.
"""
