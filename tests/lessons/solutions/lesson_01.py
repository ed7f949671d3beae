"""Solutions of lesson 01, tokens to logits."""


def generate(logits_of, prompt, max_tokens, eos):
    """The likeliest tokens after `prompt`, each from a full pass over everything before it."""
    new = []
    while len(new) < max_tokens and eos not in new:
        logits = logits_of(prompt + new)
        new.append(int(logits[-1].argmax()))
    return new


def num_computed(num_prompt, num_new):
    """How many tokens go through the model in all."""
    return sum(num_prompt + i for i in range(num_new))
