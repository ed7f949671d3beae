import torch

from tests.lessons.wrong_answers import wrong


def attention(q, k, v, *, scale=None, dim=1, interleave=True):
    group = q.shape[0] // k.shape[1]
    if interleave:
        k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
    else:
        k, v = (x.repeat(1, group, 1) for x in (k, v))
    scores = torch.einsum("hd,thd->ht", q, k) * (scale or q.shape[1] ** -0.5)
    return torch.einsum("ht,thd->hd", scores.softmax(dim=dim), v)


def collected(blocks, table, length):
    return blocks[table].flatten(0, 1)[:length]


@wrong("04.1", "You read the blocks in physical order")
def physical_order(q, keys, values, block_table, context_len):
    table = list(range(len(block_table)))
    return attention(q, collected(keys, table, context_len), collected(values, table, context_len))


@wrong("04.1", "You read the last block to its end")
def to_the_end_of_the_block(q, keys, values, block_table, context_len):
    return attention(q, collected(keys, block_table, None), collected(values, block_table, None))


@wrong("04.1", "Divide the scores by sqrt(head_dim)")
def unscaled(q, keys, values, block_table, context_len):
    k, v = (collected(x, block_table, context_len) for x in (keys, values))
    return attention(q, k, v, scale=1.0)


@wrong("04.1", "Heads 0 and 1 share KV head 0")
def heads_interleaved(q, keys, values, block_table, context_len):
    k, v = (collected(x, block_table, context_len) for x in (keys, values))
    return attention(q, k, v, interleave=False)


@wrong("04.1", "Softmax is over the keys")
def softmax_over_heads(q, keys, values, block_table, context_len):
    k, v = (collected(x, block_table, context_len) for x in (keys, values))
    return attention(q, k, v, dim=0)


@wrong("04.2", "measured from different highest scores")
def adds(left, right):
    return torch.maximum(left[0], right[0]), left[1] + right[1], left[2] + right[2]


@wrong("04.2", "the larger of the two")
def adds_the_highest(left, right):
    return left[0] + right[0], left[1] + right[1], left[2] + right[2]


@wrong("04.2", "exp(1000) overflows")
def exponentiates_first(left, right):
    highest = torch.maximum(left[0], right[0])
    a, b = left[0].exp() / highest.exp(), right[0].exp() / highest.exp()
    acc = a[:, None] * left[2] + b[:, None] * right[2]
    return highest, a * left[1] + b * right[1], acc


@wrong("04.2", "Return (highest, total, acc)")
def divides_already(left, right):
    return (left[2] + right[2]) / (left[1] + right[1])[:, None]
