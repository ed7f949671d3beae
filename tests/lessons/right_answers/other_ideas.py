"""Right answers that go about it in another way than the solution."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from nanovllm_edu import MixedPolicy
from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.plan import Spans
from nanovllm_edu.core.schedule.scheduler import Scheduler
from tests.lessons.right_answers import right


@right("02.1")
class WithATriangle:
    """All new tokens at once, with a mask that begins behind what is cached."""

    def __init__(self, num_layers):
        self.k = [torch.empty(0, 2, 8)] * num_layers
        self.v = [torch.empty(0, 2, 8)] * num_layers

    def attend(self, layer, q, k, v):
        old_k, old_v = self.k[layer], self.v[layer]
        self.k[layer] = torch.cat([old_k, k]) if len(old_k) else k
        self.v[layer] = torch.cat([old_v, v]) if len(old_v) else v
        length = len(self.k[layer])
        mask = torch.ones(len(q), length, dtype=torch.bool).tril(length - len(q))
        heads = (x.transpose(0, 1)[None] for x in (q, self.k[layer], self.v[layer]))
        out = scaled_dot_product_attention(*heads, attn_mask=mask, enable_gqa=True)
        return list(out[0].transpose(0, 1))


@right("04.1")
def attention_in_numpy(q, keys, values, block_table, context_len):
    q, keys, values = (x.numpy() for x in (q, keys, values))
    group = q.shape[0] // keys.shape[2]
    k, v = (x[block_table].reshape(-1, *x.shape[2:])[:context_len] for x in (keys, values))
    out = []
    for head in range(len(q)):
        scores = k[:, head // group] @ q[head] / np.sqrt(q.shape[1])
        weights = np.exp(scores - scores.max())
        out.append(weights @ v[:, head // group] / weights.sum())
    return np.stack(out)


@right("04.2")
def merged_as_a_list(left, right_piece):
    highest = torch.stack([left[0], right_piece[0]]).max(0).values
    scales = [(piece[0] - highest).exp() for piece in (left, right_piece)]
    total = sum(scale * piece[1] for scale, piece in zip(scales, (left, right_piece), strict=True))
    acc = sum(s[:, None] * piece[2] for s, piece in zip(scales, (left, right_piece), strict=True))
    return [highest, total, acc]


@right("06.1")
class InTuples:
    def order(self, running, waiting):
        return ((*running, *waiting),)

    def victim(self, candidates):
        return candidates[0]


@right("06.1")
class Shipped(MixedPolicy):
    pass


@right("09.1")
def as_a_list(logits, p):
    order = sorted(range(len(logits)), key=lambda i: -float(logits[i]))
    shares = logits.softmax(0).tolist()
    kept, total = set(), 0.0
    for i in order:
        kept.add(i)
        total += shares[i]
        if total >= p:
            break
    return [float(x) if i in kept else float("-inf") for i, x in enumerate(logits)]


@right("09.2")
def seeded_numpy_generator(logits, seed, position):
    generator = np.random.default_rng([seed, position])
    return generator.choice(len(logits), p=softmax64(logits))


@right("09.2")
def inverse_of_a_hash(logits, seed, position):
    number = hash((seed, position, "some salt")) % 2**53 / 2**53
    return np.searchsorted(np.cumsum(softmax64(logits)), number)


def softmax64(logits):
    shares = np.exp(logits.double().numpy() - float(logits.max()))
    return shares / shares.sum()


@right("12.1")
class InGenerators(MixedPolicy):
    def order(self, running, waiting):
        everybody = [*running, *waiting]
        everybody.sort(key=lambda seq: (not seq.is_decoding, seq.num_remaining_tokens))
        return (tuple(everybody),)


@right("12.2")
class OldestEveryThirdStep(MixedPolicy):
    """No bonus: now and then the one that has waited longest goes first."""

    def __init__(self):
        self.step = 0

    def order(self, running, waiting):
        self.step += 1
        ranked = sorted(waiting, key=lambda seq: seq.num_remaining_tokens)
        if self.step % 12 == 0 and waiting:
            ranked.remove(waiting[0])
            ranked.insert(0, waiting[0])
        decoding = sorted(running, key=lambda seq: not seq.is_decoding)
        return [[*decoding, *ranked]]


@right("12.3")
class ReservesTheFullLength(MixedPolicy):
    """Nobody is admitted who might not be able to stay: nothing is ever computed twice."""

    def order(self, running, waiting):
        held = sum(map(self.blocks, running))
        admitted = []
        for seq in waiting:
            held += self.blocks(seq)
            if held > 48:
                break
            admitted.append(seq)
        return super().order(running, tuple(admitted))

    def blocks(self, seq):
        return -(-(seq.num_prompt_tokens + seq.params.max_tokens - 1) // 16)


@right("13.1")
def prunes_by_hand(self, evictable):
    block = self._blocks[evictable.pop()]
    content, block.content = block.content, None
    evicted, content.block = content, None
    while content.block is None and content.num_children == 0 and content.parent:
        self._contents.pop(content.hash)
        content = content.parent
        content.num_children -= 1
    return block.block_id, evicted


@right("13.2")
def asks_the_sequence(self, seq):
    return self.publish_first(seq, seq.num_settled_computed)


@right("13.3")
def takes_one_back(self, seq):
    num_full, rest = divmod(len(seq.token_ids), self.block_size)
    return np.int64(num_full if rest else num_full - 1)


@right("13.5")
def keeps_what_the_match_found(self, seq):
    match = super(type(self), self).match_prefix(seq)
    return match._replace(num_tokens=len(match.block_ids) * self.block_size)


@right("13.7")
def chains_from_the_front(self, lease, index):
    lease.hashes.clear()
    parent = None
    for i in range(len(lease.token_ids) // self.block_size):
        parent = block_hash(parent, self._tokens(lease, i))
        lease.hashes.append(parent)
    return lease.hashes[index]


@right("13.8")
def sorts_by_nothing(self):
    plan = Scheduler.plan(self)
    return replace(plan, spans=Spans(sorted(plan.spans, key=lambda span: 0)))


@right("14.1")
def a_torch_generator(p, q, guess, random):
    """As one number from 0 to q: below min(p, q) the guess stays."""
    p, q = torch.tensor(p), torch.tensor(q)
    generator = torch.Generator().manual_seed(random.getrandbits(60))
    if torch.rand((), generator=generator) * q[guess] < torch.minimum(p, q)[guess]:
        return guess
    return torch.multinomial((p - q).clamp(min=0), 1, generator=generator)


@right("14.2")
def stops_when_one_more_does_not_pay(acceptance, guess_ms, step_ms, token_ms, most):
    tokens, time, k = 1.0, step_ms + token_ms, 0
    while k < most and acceptance ** (k + 1) / (guess_ms + token_ms) > tokens / time:
        k += 1
        tokens, time = tokens + acceptance**k, time + guess_ms + token_ms
    return k


@right("15.1")
def a_set_by_cutting_the_choices(choices, said, vocabulary, end):
    """All beginnings of what is left, looked up."""
    rests = {choice[len(said) :] for choice in choices if choice.startswith(said)}
    beginnings = {rest[:length] for rest in rests for length in range(1, len(rest) + 1)}
    found = {token for token, text in vocabulary.items() if text in beginnings}
    return found | {end} if "" in rests else found


@right("15.2")
def calls_itself(allowed, said, guesses):
    mask = set(allowed(said))
    if not guesses:
        return [mask]
    if guesses[0] not in mask:
        return [mask] + [()] * len(guesses)
    return [mask, *calls_itself(allowed, [*said, guesses[0]], guesses[1:])]


@right("17.1")
def mean_context_times_steps(num_prompt_tokens, num_output_tokens):
    return (num_prompt_tokens + num_output_tokens / 2) * (num_output_tokens - 1)


@right("17.1")
def as_a_formula(num_prompt_tokens, num_output_tokens):
    steps = num_output_tokens - 1
    return steps * num_prompt_tokens + steps * (steps + 1) // 2


@right("17.2")
def by_normal_equations(samples):
    """As a tuple of plain numbers."""
    a = np.array([(1.0, rows, kv) for rows, kv, _ in samples])
    b = np.array([seconds for *_, seconds in samples])
    return tuple(map(float, np.linalg.solve(a.T @ a, a.T @ b)))


@right("17.2")
def fit_in_torch(samples):
    data = torch.tensor(samples, dtype=torch.float64)
    a = torch.cat([torch.ones(len(data), 1, dtype=torch.float64), data[:, :2]], dim=1)
    return torch.linalg.lstsq(a, data[:, 2:]).solution[:, 0]


@right("18.1")
def counts_up(rate, seconds_per_request, max_num_seqs, busy):
    count = 1
    while count * max_num_seqs * busy < rate * seconds_per_request:
        count += 1
    return np.int64(count)


@right("18.2")
def what_is_left_to_compute(prompt, loads, index):
    """Work in front of the request, and what of its prompt must be computed there."""
    cached = index.lengths(prompt)
    return min(
        loads, key=lambda load: load.num_tokens / 3 + len(prompt) - cached.get(load.replica, 0)
    ).replica


@right("19.1")
def shard_in_turns(name, weight, rank, num_ranks):
    """Any numbers of the width, if they are the same in all three matrices."""
    return weight[:, rank::num_ranks] if name == "down_proj" else weight[rank::num_ranks].tolist()


@right("19.2")
def pays_from_by_halving(weights_mb, kv_mb, num_sums, sum_us, row_us):
    """What is won grows or shrinks with the batch on a straight line."""
    won = [(weights_mb + b * kv_mb) / 8.4 - num_sums * (sum_us + b * row_us) for b in range(1025)]
    return next((b for b in range(1, 1025) if won[b] > 1e-9), 0)
