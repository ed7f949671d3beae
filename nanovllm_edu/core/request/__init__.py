"""One request: how it is sampled, what it holds, how it ends."""
