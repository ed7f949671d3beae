"""Who runs in a step, and why."""
