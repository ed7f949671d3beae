"""From logits to token ids, in stages that can be looked at one by one.

Reading order: `random.py`, `stages.py`, `rows.py`, `edits.py`, `tensors.py`, `sampler.py`.
"""
