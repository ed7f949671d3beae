from dataclasses import replace

from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.blocks import BlockPool
from nanovllm_edu.core.memory.hash_index import HashIndex
from nanovllm_edu.core.memory.prefix_cache import PrefixMatch
from nanovllm_edu.core.plan import Spans
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.runners.checksum import sample as sample_token
from tests.lessons.wrong_answers import wrong

# ------------------------------------------------------------------------------- case 1


@wrong("13.1", "there is a new one: seq 3: right is")
def clears_the_block_but_not_the_content(self, evictable):
    block = self._blocks[evictable.pop()]
    content, block.content = block.content, None
    return block.block_id, content


@wrong("13.1", "a content nobody needs")
def clears_the_content_but_not_the_block(self, evictable):
    block = self._blocks[evictable.pop()]
    block.content.block = None
    return block.block_id, block.content


@wrong("13.1", "a content nobody needs")
def forgets_nothing_for_ever(self, evictable):
    block = self._blocks[evictable.pop()]
    content = block.content
    block.content = content.block = None
    return block.block_id, content


@wrong("13.1", "a content whose parent cannot be found")
def forgets_also_what_others_stand_behind(self, evictable):
    block = self._blocks[evictable.pop()]
    content = block.content
    block.content = content.block = None
    del self._contents[content.hash]
    content.parent.num_children -= 1
    return block.block_id, content


@wrong("13.1", "`reclaim` gave None: it came to its end without a `return`")
def returns_nothing(self, evictable):
    block = self._blocks[evictable.pop()]
    block.content.block = None
    block.content = None


@wrong("13.1", "Your code calls the shipped `reclaim`, at line")
def asks_the_shipped_one(self, evictable):
    return HashIndex.reclaim(self, evictable)


# ------------------------------------------------------------------------------- case 2


@wrong("13.2", "The symptom of case 2 is not gone, or there is a new one: seq 1")
def all_known_tokens(self, seq):
    return self.publish_first(seq, len(seq.token_ids))


@wrong("13.2", "The cure must not cost hits")
def all_computed_tokens(self, seq):
    return self.publish_first(seq, seq.num_computed_tokens)


@wrong("13.2", "The cure must not cost hits")
def one_token_too_careful(self, seq):
    num_ready = min(seq.num_computed_tokens, len(seq.token_ids)) - 1
    return self.publish_first(seq, max(0, num_ready))


# ------------------------------------------------------------------------------- case 3


@wrong("13.3", "The cure must not cost hits")
def one_block_less(self, seq):
    return max(0, len(seq.token_ids) // self.block_size - 1)


@wrong("13.3", "sampled from where no token is computed")
def counts_the_prompt_only(self, seq):
    return seq.num_prompt_tokens // self.block_size


@wrong("13.3", "The cure must not cost hits")
def never_matches(self, seq):
    return 0


@wrong("13.3", "`num_matchable_blocks` gave None")
def forgets_the_number(self, seq):
    (len(seq.token_ids) - 1) // self.block_size


# ------------------------------------------------------------------------------- case 4


def sample_over(positions):
    """A `_sample` that reads these positions."""

    def sample(self, span):
        row = self._rows[span.row]
        context = [self._read(row.tables[0], 0, position) for position in positions(span)]
        token = sample_token(context, row.sampling, row.joined.seed, self.vocab_size)
        row.token_ids[span.end :] = [token]
        return (token,)

    return sample


# The span alone is right in a prefill of one span, and wrong from the first decode on.
wrong("13.4", "wrong from its token 1 on")(sample_over(lambda span: range(span.start, span.end)))
wrong("13.4", "it got [23, 10, 22]; wrong from its token 0 on")(
    sample_over(lambda span: range(span.end - 1))
)
wrong("13.4", "it got [0, 10, 2]; wrong from its token 0 on")(
    sample_over(lambda span: range(span.start))
)


@wrong("13.4", "raised IndexError")
def does_not_remember_the_token(self, span):
    row = self._rows[span.row]
    context = [self._read(row.tables[0], 0, position) for position in range(span.end)]
    return (sample_token(context, row.sampling, row.joined.seed, self.vocab_size),)


@wrong("13.4", "object of type 'int' has no len()")
def gives_a_bare_token(self, span):
    row = self._rows[span.row]
    context = [self._read(row.tables[0], 0, position) for position in range(span.end)]
    token = sample_token(context, row.sampling, row.joined.seed, self.vocab_size)
    row.token_ids[span.end :] = [token]
    return token


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


def add_ref_with(count, *, leaves_the_line=True):
    """An `add_ref` that counts users in another way."""

    def add_ref(self, block):
        if block.ref_count == 0 and leaves_the_line:
            self.evictable.remove(block.block_id)
        block.ref_count = count(block.ref_count)

    return add_ref


wrong("13.6", "other requests are not")(add_ref_with(lambda users: 2 if users else 1))
wrong("13.6", "has ref_count 3 and 2 user(s)")(add_ref_with(lambda users: users + 2))
wrong("13.6", "would evict block 5, which is used")(
    add_ref_with(lambda users: users + 1, leaves_the_line=False)
)


# ------------------------------------------------------------------------------- case 7


@wrong("13.7", "wrong from its token 0 on")
def position_instead_of_parent(self, lease, index):
    while len(lease.hashes) <= index:
        token_ids = self._tokens(lease, len(lease.hashes))
        lease.hashes.append(block_hash(len(lease.hashes), token_ids))
    return lease.hashes[index]


@wrong("13.7", "wrong from its token 0 on")
def only_one_block_back(self, lease, index):
    while len(lease.hashes) <= index:
        i = len(lease.hashes)
        parent = block_hash(None, self._tokens(lease, i - 1)) if i else None
        lease.hashes.append(block_hash(parent, self._tokens(lease, i)))
    return lease.hashes[index]


@wrong("13.7", "The cure must not cost hits")
def different_for_every_sequence(self, lease, index):
    while len(lease.hashes) <= index:
        parent = lease.hashes[-1] if lease.hashes else id(lease)
        lease.hashes.append(block_hash(parent, self._tokens(lease, len(lease.hashes))))
    return lease.hashes[index]


@wrong("13.7", "raised IndexError")
def remembers_nothing(self, lease, index):
    parent = None
    for i in range(index + 1):
        parent = block_hash(parent, self._tokens(lease, i))
    return parent


# ------------------------------------------------------------------------------- case 8


def in_order(key):
    """A `plan` that sorts the spans."""

    def plan(self):
        plan = Scheduler.plan(self)
        return replace(plan, spans=Spans(sorted(plan.spans, key=key)))

    return plan


wrong("13.8", "Case 8 itself is cured, but other requests are not")(
    in_order(lambda span: -span.num_tokens)
)
wrong("13.8", "seq 1: right is [9, 16, 12, 4], it got")(in_order(lambda span: -span.start))


@wrong("13.8", "seq 1: right is [9, 16, 12, 4], it got")
def the_other_way_round(self):
    plan = Scheduler.plan(self)
    return replace(plan, spans=Spans(reversed(tuple(plan.spans))))


@wrong("13.8", "`plan` gave None: it came to its end without a `return`")
def forgets_to_return(self):
    Scheduler.plan(self)


# ------------------------------------------------------------------- what is not one's own


wrong("13.1", "That is the shipped `HashIndex.reclaim`")(HashIndex.reclaim)
wrong("13.5", "That is the shipped method itself")(BlockManager.match_prefix)
wrong("13.8", "That is the shipped method itself")(Scheduler.plan)


@wrong("13.2", "Your code calls the shipped `publish`")
def asks_the_base(self, seq):
    return BlockManager.publish(self, seq)


@wrong("13.3", "Your code calls the shipped `num_matchable_blocks`")
def asks_the_manager(self, seq):
    return BlockManager.num_matchable_blocks(self, seq)


@wrong("13.4", "Your code calls the shipped `_sample`")
def samples_with_super(self, span):
    return ChecksumRunner._sample(self, span)


@wrong("13.6", "Your code calls the shipped `add_ref`")
def uses_super(self, block):
    BlockPool.add_ref(self, block)


@wrong("13.7", "Your code calls the shipped `_hash_of`")
def hashes_with_super(self, lease, index):
    return HashIndex._hash_of(self, lease, index)
