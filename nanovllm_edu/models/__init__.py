"""Models: from a folder or a name to a function of token ids, positions and `attend`.

Read `qwen3.py` first. `llama.py` is its relatives, `config.py` their sizes, and `registry.py`,
`folder.py`, `checkpoint.py` and `loader.py` get weights into them.
"""
