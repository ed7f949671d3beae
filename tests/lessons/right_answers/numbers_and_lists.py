"""Integers of numpy and torch, tuples and arrays for lists, generators."""

from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

import numpy as np
import torch

from tests.lessons.right_answers import right


@right("00.1")
def torch_tokens(engine):
    tokens = OrderedDict()
    for record in engine.run(depth=0):
        for seq_id, new in record.new_tokens.items():
            tokens[seq_id] = (*tokens.get(seq_id, ()), *torch.tensor(new))
    return tokens


@right("01.1")
def tensors_of_tokens(logits_of, prompt, max_tokens, eos):
    tokens = torch.tensor(prompt)
    for _ in range(max_tokens):
        token = logits_of(tokens)[-1].argmax()
        tokens = torch.cat([tokens, token[None]])
        if token == eos:
            break
    return tokens[len(prompt) :]


@right("01.2")
def numpy_sum(num_prompt, num_new):
    return np.arange(num_prompt, num_prompt + num_new).sum()


@right("01.2")
def sum_with_a_slash(num_prompt, num_new):
    """10 / 2 is 5.0."""
    return num_new * num_prompt + num_new * (num_new - 1) / 2


@right("01.2")
def sum_as_a_fraction(num_prompt, num_new):
    return Fraction(num_new * (2 * num_prompt + num_new - 1), 2)


@right("02.2")
def numpy_product(num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number):
    return np.prod([num_layers, 2, num_kv_heads, head_dim, bytes_per_number])


@right("03.1")
def array_of_slots(block_table, start, num_tokens, block_size):
    positions = np.arange(start, start + num_tokens)
    return np.array(block_table)[positions // block_size] * block_size + positions % block_size


@right("03.1")
def tensor_of_slots(block_table, start, num_tokens, block_size):
    positions = torch.arange(start, start + num_tokens)
    return torch.tensor(block_table)[positions // block_size] * block_size + positions % block_size


@right("03.2")
def numpy_ceil(num_held, num_tokens, block_size):
    return np.maximum(0, np.int64(-(-num_tokens // block_size)) - num_held)


@right("05.1")
def numpy_hash(parent, token_ids):
    return np.int64(hash((parent, *token_ids)))


@right("05.2")
def torch_count(prompt, cached, block_size):
    most = min(len(prompt) - 1, len(cached)) // block_size * block_size
    same = torch.tensor(prompt[:most]) == torch.tensor(cached[:most])
    return same.view(-1, block_size).all(1).long().cumprod(0).sum() * block_size


@right("06.2")
def numpy_share(records, num_rows):
    return 1 - np.mean([len(record.spans) for record in records]) / num_rows


@right("06.2")
def fraction(records, num_rows):
    return 1 - Fraction(sum(len(r.spans) for r in records), len(records) * num_rows)


@right("06.2")
def tensor_share(records, num_rows):
    return 1 - torch.tensor([float(len(r.spans)) for r in records]).mean() / num_rows


@right("07.1")
def generator_of_chunks(num_prompt_tokens, num_decoding, budget):
    while num_prompt_tokens > 0:
        size = np.int64(min(num_prompt_tokens, budget - num_decoding))
        yield size
        num_prompt_tokens -= size


@right("07.2")
def floor_division(max_gap_ms, step_ms, token_ms):
    return int((max_gap_ms - step_ms) // token_ms)


@right("07.2")
def numpy_floor(max_gap_ms, step_ms, token_ms):
    return np.int32(np.floor((max_gap_ms - step_ms) / token_ms))


@right("08.1")
def numpy_count(records):
    places = [(c.seq_id, p) for r in records for c in r.spans for p in range(c.start, c.end)]
    return np.int64(len(places) - len(set(places)))


@right("08.2")
def tensor_of_one(num_blocks, block_size, num_prompt_tokens, max_tokens):
    return torch.tensor(num_blocks // -(-(num_prompt_tokens + max_tokens - 1) // block_size))


@right("10.1")
def three_arrays(spans):
    return np.array(
        [
            np.concatenate([np.arange(span.start, span.end) for span in spans]),
            np.cumsum([0, *[span.num_tokens for span in spans]]),
            np.array([span.end for span in spans]),
        ],
        dtype=object,
    )


@right("10.1")
def list_of_tensors(spans):
    return [
        torch.cat([torch.arange(span.start, span.end) for span in spans]),
        torch.tensor([0, *accumulate(span.num_tokens for span in spans)]),
        tuple(span.end for span in spans),
    ]


@right("10.2")
def rows_as_an_array(spans):
    ends = np.cumsum([span.num_tokens for span in spans])
    return (ends - 1)[[span.is_sampled for span in spans]]


@right("10.3")
def copies_into_place(inputs, slots, context_lens, scratch_slot):
    padding = len(inputs.slots) - len(slots)
    inputs.slots.copy_(torch.tensor([*slots, *[scratch_slot] * padding]))
    inputs.context_lens.copy_(torch.tensor([*context_lens, *[1] * padding]))


@right("11.1")
def rounded_up(flops, bandwidth, bytes_per_weight):
    return np.ceil(flops * bytes_per_weight / 2 / bandwidth)


@right("11.2")
def tensor_of_milliseconds(record, weight_bytes, kv_bytes_per_token, bandwidth):
    contexts = torch.tensor([span.end for span in record.spans], dtype=torch.float64)
    return (weight_bytes + kv_bytes_per_token * contexts.sum()) / bandwidth * 1000


@right("11.2")
def milliseconds_in_an_array(record, weight_bytes, kv_bytes_per_token, bandwidth):
    contexts = np.array([[span.end for span in record.spans]])
    return (weight_bytes + kv_bytes_per_token * contexts.sum(1)) / bandwidth * 1000


@right("14.1")
def numpy_draw(p, q, guess, random):
    p, q = np.array(p), np.array(q)
    if random.random() * q[guess] <= p[guess]:
        return np.int64(guess)
    missing = np.clip(p - q, 0, None)
    return np.searchsorted(np.cumsum(missing), random.random() * missing.sum(), side="right")


@right("14.2")
def tensor_of_speeds(acceptance, guess_ms, step_ms, token_ms, most):
    k = torch.arange(most + 1, dtype=torch.float64)
    tokens = torch.cumsum(acceptance**k, 0)
    return (tokens / (k * guess_ms + step_ms + (k + 1) * token_ms)).argmax()


@right("15.1")
def array_of_ids(choices, said, vocabulary, end):
    texts = {token: said + text for token, text in vocabulary.items()}
    able = [t for t, text in texts.items() if any(c[: len(text)] == text for c in choices)]
    return np.array(able + [end] * (said in choices), dtype=np.int32)


@right("15.2")
def tuples_of_tensors(allowed, said, guesses):
    rows = [torch.tensor(allowed(said))]
    for i, guess in enumerate(guesses):
        may_be = bool((rows[-1] == guess).any())
        rows.append(torch.tensor(allowed(said + guesses[: i + 1]) if may_be else []).long())
    return tuple(rows)


@right("16.1")
def goodput_of_32_bits(trace, slo):
    good = torch.tensor([answer.is_whole and slo_is_kept(answer, slo) for answer in trace])
    ends = torch.tensor([[answer.wanted, answer.ended] for answer in trace])
    return good.sum() / (ends[:, 1].max() - ends[:, 0].min())


def slo_is_kept(answer, slo):
    return answer.first_token <= slo.first_token and (answer.per_token or 0) <= slo.per_token


@right("17.1")
def arithmetic_series_in_decimals(num_prompt_tokens, num_output_tokens):
    return Decimal(num_output_tokens - 1) * (2 * num_prompt_tokens + num_output_tokens) / 2


@right("17.2")
def a_column_of_constants(samples):
    a = np.array([(1.0, rows, kv) for rows, kv, _ in samples])
    return np.linalg.lstsq(a, np.array([[seconds] for *_, seconds in samples]), rcond=None)[0]


@right("18.1")
def ceil_of_a_tensor(rate, seconds_per_request, max_num_seqs, busy):
    return torch.tensor(rate * seconds_per_request / (max_num_seqs * busy)).ceil()


@right("18.2")
def float_of_a_replica(prompt, loads, index):
    cached = index.lengths(prompt)
    missing = [len(prompt) - cached.get(load.replica, 0) + load.num_tokens for load in loads]
    return float(np.argmin(missing))


@right("19.2")
def first_in_a_tensor(weights_mb, kv_mb, num_sums, sum_us, row_us):
    batch = torch.arange(1, 1025, dtype=torch.float64)
    pays = (weights_mb + batch * kv_mb) / 8.4 > num_sums * (sum_us + batch * row_us)
    return batch[pays][:1] if pays.any() else 0.0
