from nanovllm_edu.core.memory.block_hash import block_hash as shipped
from tests.lessons.wrong_answers import wrong


@wrong("05.1", "Equal tokens after different prefixes")
def without_parent(parent, token_ids):
    return hash(tuple(token_ids))


@wrong("05.1", "depend on the position of each token")
def sums(parent, token_ids):
    return (parent or 0) * 31 + sum(token_ids)


@wrong("05.1", "Every token of the block counts")
def first_and_parent(parent, token_ids):
    return hash((parent, token_ids[0]))


@wrong("05.1", "The hash of the same block")
def a_new_number_each_time(parent, token_ids, count=[0]):  # noqa: B006
    count[0] += 1
    return count[0]


@wrong("05.1", "Your code raised TypeError")
def adds_none(parent, token_ids):
    return parent + hash(tuple(token_ids))


def common(prompt, cached):
    num = 0
    while num < min(len(prompt), len(cached)) and prompt[num] == cached[num]:
        num += 1
    return num


@wrong("05.2", "Only full blocks can be found")
def every_common_token(prompt, cached, block_size):
    return min(common(prompt, cached), len(prompt) - 1)


@wrong("05.2", "last token is always computed")
def no_last_token_rule(prompt, cached, block_size):
    return common(prompt, cached) // block_size * block_size


@wrong("05.2", "The match ends at the first block that differs")
def equal_blocks_anywhere(prompt, cached, block_size):
    num = 0
    for start in range(0, (len(prompt) - 1) // block_size * block_size, block_size):
        block = slice(start, start + block_size)
        num += len(cached[block]) == block_size and prompt[block] == cached[block]
    return num * block_size


@wrong("05.2", "not the last common one")
def last_common_token(prompt, cached, block_size):
    return max(0, common(prompt, cached) - 1) // block_size * block_size


wrong("05.1", "That is the shipped `block_hash`")(shipped)


@wrong("05.1", "Your code calls the shipped `block_hash`")
def calls_the_shipped_one(parent, token_ids):
    return shipped(parent, token_ids)


@wrong("05.1", "lets them change places, as + and ^ do")
def symmetric(parent, token_ids):
    return (parent or 12345) ^ hash(tuple(token_ids))


@wrong("05.1", "lets them change places, as + and ^ do")
def adds_parent_and_tokens(parent, token_ids):
    return (parent or 0) + hash(tuple(token_ids))


@wrong("05.1", "differ in the order")
def sorts_the_middle(parent, token_ids):
    first, *middle, last = token_ids
    return hash((parent, first, *sorted(middle), last))


@wrong("05.1", "say 1, 23 and 12, 3 in the same way")
def joins_the_digits(parent, token_ids):
    return int("".join(map(str, [parent or 0, *token_ids])))


@wrong("05.1", "must not make up for what another has less")
def multiplies_by_31(parent, token_ids):
    value = (parent or 17) + 1
    for token in token_ids:
        value = (value * 31 + token) % 2**61
    return value
