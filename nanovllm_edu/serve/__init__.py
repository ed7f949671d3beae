"""A server that OpenAI's clients can talk to, and whose engine one can watch. Extra: `[serve]`.

    nanovllm-edu serve                     on the command line
    from nanovllm_edu.serve import ...     in a program or a notebook

Read in this order: `serve/app.py`, `serve/generation.py`, `serve/gatekeeper.py`, `serve/watch.py`.
"""
