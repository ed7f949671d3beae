"""Solutions of lesson 19, two GPUs."""


def shard(name, weight, rank, num_ranks):
    """A part of the width: rows of what makes it, columns of what reads it."""
    axis = 1 if name == "down_proj" else 0
    return weight.chunk(num_ranks, axis)[rank]


def pays_from(weights_mb, kv_mb, num_sums, sum_us, row_us):
    """Half of what is streamed, and the sums on top."""
    for batch in range(1, 1025):
        alone = (weights_mb + batch * kv_mb) / 4.2
        if alone / 2 + num_sums * (sum_us + batch * row_us) < alone:
            return batch
    return 0
