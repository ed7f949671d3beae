"""The core: sequences, blocks, scheduler and records, in pure Python (standard library + xxhash).

It decides everything and computes nothing. Read in this order: `records`, `sequence`,
`block_manager`, `policy`, `scheduler` and the six files it names, `model_runner`.
"""
