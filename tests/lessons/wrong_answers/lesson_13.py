from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.memory.block_manager import BlockManager, PrefixMatch
from nanovllm_edu.core.memory.blocks import BlockPool
from nanovllm_edu.core.memory.hash_index import PrefixIndex
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.runners.checksum import sample as sample_token
from tests.lessons.wrong_answers import wrong

# ------------------------------------------------------------------------------- case 1


@wrong("13.1", "is found by a hash it has not")
def clears_the_block_but_not_the_book(self, block):
    block.hash, block.token_ids = None, ()


@wrong("13.1", "has a hash by which another block, or none, is found")
def clears_the_book_but_not_the_block(self, block):
    del self._by_hash[block.hash]


@wrong("13.1", "Your code calls the shipped `forget`, at line")
def forgets_twice(self, block):
    PrefixIndex.forget(self, block)
    PrefixIndex.forget(self, block)


# ------------------------------------------------------------------------------- case 2


@wrong("13.2", "The symptom of case 2 is not gone, or there is a new one: seq 1")
def all_known_tokens(self, seq):
    return len(seq.token_ids) // self.block_size


@wrong("13.2", "The cure must not cost hits")
def all_computed_tokens(self, seq):
    return seq.num_computed_tokens // self.block_size


@wrong("13.2", "The cure must not cost hits")
def one_token_too_careful(self, seq):
    num_ready = min(seq.num_computed_tokens, len(seq.token_ids)) - 1
    return max(0, num_ready) // self.block_size


# ------------------------------------------------------------------------------- case 3


@wrong("13.3", "The cure must not cost hits")
def one_block_less(self, seq):
    return max(0, len(seq.token_ids) // self.block_size - 1)


@wrong("13.3", "step 4 raised IndexError: list index out of range")
def counts_the_prompt_only(self, seq):
    return seq.num_prompt_tokens // self.block_size


@wrong("13.3", "The cure must not cost hits")
def never_matches(self, seq):
    return 0


# ------------------------------------------------------------------------------- case 4


def sample_over(positions):
    """A `_sample` that reads these positions."""

    def sample(self, chunk):
        table = self._block_tables[chunk.slot]
        context = [self._read(table, position) for position in positions(chunk)]
        token = sample_token(context, chunk.params, chunk.seed, self.vocab_size)
        self._last_sampled[chunk.slot] = token
        return token

    return sample


# The chunk alone is right in a prefill of one chunk, and wrong from the first decode on.
wrong("13.4", "it got [10, 10, 5]; wrong from its token 1 on")(
    sample_over(lambda chunk: range(chunk.start, chunk.end))
)
wrong("13.4", "it got [23, 10, 22]; wrong from its token 0 on")(
    sample_over(lambda chunk: range(chunk.end - 1))
)
wrong("13.4", "it got [0, 10, 2]; wrong from its token 0 on")(
    sample_over(lambda chunk: range(chunk.start))
)


@wrong("13.4", "raised KeyError")
def does_not_remember_the_token(self, chunk):
    table = self._block_tables[chunk.slot]
    context = [self._read(table, position) for position in range(chunk.end)]
    return sample_token(context, chunk.params, chunk.seed, self.vocab_size)


# ------------------------------------------------------------------------------- case 5


@wrong("13.5", "The cure must not cost hits")
def preempted_ones_start_from_nothing(self, seq):
    if seq.num_preemptions:
        return PrefixMatch((), 0, 0, "it was preempted")
    return BlockManager.match_prefix(self, seq)


@wrong("13.5", "it got [23, 18, 22, 22, 22, 15]; wrong from its token 3 on")
def also_without_a_hit(self, seq):
    match = BlockManager.match_prefix(self, seq)
    return match._replace(
        num_tokens=max(match.num_tokens, self.num_computed_before.get(seq.seq_id, 0))
    )


@wrong("13.5", "Case 5 itself is cured, but other requests are not")
def takes_the_smaller_number(self, seq):
    match = BlockManager.match_prefix(self, seq)
    return match._replace(
        num_tokens=min(match.num_tokens, self.num_computed_before.get(seq.seq_id, 0))
    )


# ------------------------------------------------------------------------------- case 6


def use_with(count, *, leaves_the_line=True):
    """A `use` that counts users in another way."""

    def use(self, block):
        if block.ref_count == 0 and leaves_the_line:
            self.evictable.remove(block.block_id)
        block.ref_count = count(block.ref_count)

    return use


wrong("13.6", "other requests are not")(use_with(lambda users: 2 if users else 1))
wrong("13.6", "has ref_count 3 and 2 user(s)")(use_with(lambda users: users + 2))
wrong("13.6", "freed more often than taken")(
    use_with(lambda users: users + 1, leaves_the_line=False)
)


# ------------------------------------------------------------------------------- case 7


@wrong("13.7", "it got [22, 19, 21]; wrong from its token 0 on")
def position_instead_of_parent(self, seq, index):
    return block_hash(index, self.tokens_of(seq, index))


@wrong("13.7", "it got [5, 22, 17]; wrong from its token 0 on")
def only_one_block_back(self, seq, index):
    parent = block_hash(None, self.tokens_of(seq, index - 1)) if index else None
    return block_hash(parent, self.tokens_of(seq, index))


@wrong("13.7", "The cure must not cost hits")
def different_for_every_sequence(self, seq, index):
    return block_hash(seq.seq_id, (*seq.token_ids[: index * self.block_size], index))


# ------------------------------------------------------------------------------- case 8


@wrong("13.8", "Case 8 itself is cured, but other requests are not")
def long_ones_first(self, draft):
    draft.chunks.sort(key=lambda chunk: -chunk.num_tokens)
    return Scheduler._finish_plan(self, draft)


@wrong("13.8", "seq 1: right is [9, 16, 12, 4], it got [3, 2, 23, 4]")
def the_other_way_round(self, draft):
    draft.chunks.reverse()
    return Scheduler._finish_plan(self, draft)


@wrong("13.8", "`finish_plan` gave None: it came to its end without a `return`")
def forgets_to_return(self, draft):
    Scheduler._finish_plan(self, draft)


@wrong("13.8", "seq 1: right is [9, 16, 12, 4], it got [3, 2, 23, 4]")
def sharers_first(self, draft):
    draft.chunks.sort(key=lambda chunk: -chunk.start)
    return Scheduler._finish_plan(self, draft)


# ------------------------------------------------------------------- what is not one's own


wrong("13.1", "That is the shipped `PrefixIndex.forget`")(PrefixIndex.forget)
wrong("13.5", "That is the shipped method itself")(BlockManager.match_prefix)
wrong("13.8", "That is the shipped method itself")(Scheduler._finish_plan)


@wrong("13.2", "Your code calls the shipped `num_cacheable_blocks`")
def asks_the_base(self, seq):
    return PrefixIndex.num_cacheable_blocks(self, seq)


@wrong("13.3", "Your code calls the shipped `num_matchable_blocks`")
def asks_another_index(self, seq):
    return PrefixIndex(self.block_size).num_matchable_blocks(seq)


@wrong("13.4", "Your code calls the shipped `_sample`")
def samples_with_super(self, chunk):
    return ChecksumRunner._sample(self, chunk)


@wrong("13.6", "Your code calls the shipped `use`")
def uses_super(self, block):
    BlockPool.use(self, block)


@wrong("13.7", "Your code calls the shipped `hash_of`")
def hashes_with_super(self, seq, index):
    return PrefixIndex.hash_of(self, seq, index)


@wrong("13.1", "on 8 blocks: `self._findable_contents` forgets nothing")
def leaks_contents(self, block):
    del self._by_hash[block.hash]
    block.hash, block.token_ids = None, ()
