"""The core: sequences, blocks, scheduler and records, in pure Python (standard library + xxhash).

It decides everything and computes nothing. Read in this order: `records`, `sequence`,
`block_manager` and `scheduler`, each with the files it names, `policy`, `model_runner`.
"""
