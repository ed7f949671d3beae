"""The core: requests, memory and schedule, in pure Python (standard library + xxhash).

It decides everything and computes nothing.

    request/     one request: how it is sampled, what it holds, how it ends
    memory/      the blocks of the KV cache: who owns them, and what can be found in them
    schedule/    who runs in a step, and why

Read in this order: `plan.py`, `events.py`, `request/sequence.py`, `memory/block_manager.py` and
`schedule/scheduler.py`, each with the files it names; then `model_runner.py` and `step_record.py`.
"""
