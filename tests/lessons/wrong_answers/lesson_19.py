import torch

from nanovllm_edu.lessons.lesson_19 import times_us
from tests.lessons.wrong_answers import wrong


@wrong("19.1", "Cut the other axis")
def all_by_rows(name, weight, rank, num_ranks):
    return weight[rank::num_ranks] if name == "down_proj" else weight.chunk(num_ranks)[rank]


@wrong("19.1", "reads all")
def all_by_columns(name, weight, rank, num_ranks):
    return weight.tensor_split(num_ranks, 1)[rank]


@wrong("19.1", "a rank has one part in")
def everything_for_everybody(name, weight, rank, num_ranks):
    return weight


@wrong("19.1", "the same one in all three")
def another_part_of_down(name, weight, rank, num_ranks):
    if name == "down_proj":
        return weight.chunk(num_ranks, 1)[(rank + 1) % num_ranks]
    return weight.chunk(num_ranks)[rank]


@wrong("19.1", "the same one in all three")
def always_the_first_part(name, weight, rank, num_ranks):
    return weight.chunk(num_ranks, 1 if name == "down_proj" else 0)[0]


@wrong("19.1", "is a matrix")
def flat(name, weight, rank, num_ranks):
    return torch.flatten(weight).chunk(num_ranks)[rank]


@wrong("19.2", "two GPUs do pay")
def never(weights_mb, kv_mb, num_sums, sum_us, row_us):
    return 0


@wrong("19.2", "is too early")
def always(weights_mb, kv_mb, num_sums, sum_us, row_us):
    return 1


@wrong("19.2", "already is")
def one_too_late(weights_mb, kv_mb, num_sums, sum_us, row_us):
    for batch in range(1, 1025):
        alone = (weights_mb + batch * kv_mb) / 4.2
        if alone / 2 + num_sums * (sum_us + batch * row_us) < alone:
            return min(1024, batch + 1)
    return 0


@wrong("19.2", "is a whole number")
def solves_the_equation(weights_mb, kv_mb, num_sums, sum_us, row_us):
    return (num_sums * sum_us * 8.4 - weights_mb) / max(0.1, kv_mb - num_sums * row_us * 8.4)


@wrong("19.2", "at batch 846")
def gives_up_too_soon(weights_mb, kv_mb, num_sums, sum_us, row_us):
    for batch in range(1, 257):
        if (weights_mb + batch * kv_mb) / 8.4 > num_sums * (sum_us + batch * row_us):
            return batch
    return 0


@wrong("19.2", "two GPUs do pay: at batch 1 ")
def halves_the_range(weights_mb, kv_mb, num_sums, sum_us, row_us):
    low, high = 1, 1025
    while low < high:
        middle = (low + high) // 2
        if (weights_mb + middle * kv_mb) / 8.4 > num_sums * (sum_us + middle * row_us):
            high = middle
        else:
            low = middle + 1
    return low % 1025


@wrong("19.2", "calls the shipped `times_us`")
def asks_the_lesson(*costs):
    return next((b for b in range(1, 1025) if times_us(b, costs)[1] < times_us(b, costs)[0]), 0)
