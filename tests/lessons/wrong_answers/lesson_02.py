import torch

from nanovllm_edu.attention.reference import attend_one
from tests.lessons.wrong_answers import wrong


class Base:
    def __init__(self, num_layers):
        self.keys = [[] for _ in range(num_layers)]
        self.values = [[] for _ in range(num_layers)]

    def over(self, layer, q):
        return attend_one(q, torch.stack(self.keys[layer]), torch.stack(self.values[layer]))


@wrong("02.1", "Every layer has keys and values of its own")
class OneListForAllLayers(Base):
    def attend(self, layer, q, k, v):
        out = []
        for i in range(len(q)):
            self.keys[0].append(k[i])
            self.values[0].append(v[i])
            out.append(self.over(0, q[i]))
        return torch.stack(out)


@wrong("02.1", "It also sees tokens that come later")
class StoresAllFirst(Base):
    def attend(self, layer, q, k, v):
        self.keys[layer] += list(k)
        self.values[layer] += list(v)
        return torch.stack([self.over(layer, q[i]) for i in range(len(q))])


@wrong("02.1", "earlier keys are gone")
class Forgets(Base):
    def attend(self, layer, q, k, v):
        return torch.stack([attend_one(q[i], k[i : i + 1], v[i : i + 1]) for i in range(len(q))])


@wrong("02.1", "Keys and values are swapped")
class Swaps(Base):
    def attend(self, layer, q, k, v):
        out = []
        for i in range(len(q)):
            self.keys[layer].append(v[i])
            self.values[layer].append(k[i])
            out.append(self.over(layer, q[i]))
        return torch.stack(out)


@wrong("02.1", "It does not see itself")
class AttendsFirst(Base):
    def attend(self, layer, q, k, v):
        out = []
        for i in range(len(q)):
            out.append(self.over(layer, q[i]) if self.keys[layer] else v[i].repeat_interleave(2, 0))
            self.keys[layer].append(k[i])
            self.values[layer].append(v[i])
        return torch.stack(out)


@wrong("02.1", "attend must return one row per query")
class NoRows(Base):
    def attend(self, layer, q, k, v):
        self.keys[layer] += list(k)
        self.values[layer] += list(v)
        return self.over(layer, q[-1])


@wrong("02.2", "Query heads are not stored")
def counts_query_heads(num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number):
    return num_layers * 2 * num_heads * head_dim * bytes_per_number


@wrong("02.2", "Both a key and a value are stored")
def keys_only(num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number):
    return num_layers * num_kv_heads * head_dim * bytes_per_number


@wrong("02.2", "Every layer has a cache of its own")
def one_layer(num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number):
    return 2 * num_kv_heads * head_dim * bytes_per_number


@wrong("02.2", "how many numbers, not how many bytes")
def numbers(num_layers, num_heads, num_kv_heads, head_dim, bytes_per_number):
    return num_layers * 2 * num_kv_heads * head_dim


@wrong("02.1", "With 2 tokens in the cache and 3 new ones, the mask must begin behind the 2")
class MaskFromTheFirstKey(Base):
    def attend(self, layer, q, k, v):
        self.keys[layer] += list(k)
        self.values[layer] += list(v)
        keys, values = torch.stack(self.keys[layer]), torch.stack(self.values[layer])
        if len(q) == 1:
            return attend_one(q[0], keys, values)[None]
        return torch.stack(
            [attend_one(q[i], keys[: i + 1], values[: i + 1]) for i in range(len(q))]
        )
