"""From logits to token ids, in stages that can be looked at one by one.

Reading order: `random.py`, `stages.py`, `tensors.py`, `sampler.py`.
"""
