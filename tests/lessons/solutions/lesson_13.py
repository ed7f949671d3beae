"""Solutions of lesson 13, the bug hunt. Each function is a method of the class it mends."""

from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.runners.checksum import sample as sample_token


def forget(self, block):
    """Case 1: nobody may find the old content any more."""
    del self._by_hash[block.hash]
    self._findable_contents.remove(block.content_id)
    block.hash, block.token_ids = None, ()
    block.content_id = block.parent_content_id = 0


def num_cacheable_blocks(self, seq):
    """Case 2: full blocks of tokens that are known and computed."""
    return min(seq.num_computed_tokens, len(seq.token_ids)) // self.block_size


def num_matchable_blocks(self, seq):
    """Case 3: the last token is always computed."""
    return (len(seq.token_ids) - 1) // self.block_size


def sample(self, chunk):
    """Case 4: a token attends to everything in front of it."""
    table = self._block_tables[chunk.slot]
    context = [self._read(table, position) for position in range(chunk.end)]
    token = sample_token(context, chunk.params, chunk.seed, self.vocab_size)
    self._last_sampled[chunk.slot] = token
    return token


def match_prefix(self, seq):
    """Case 5: what is computed is what the match found."""
    return BlockManager.match_prefix(self, seq)


def use(self, block):
    """Case 6: every user counts."""
    if block.ref_count == 0:
        self.evictable.remove(block.block_id)
    block.ref_count += 1


def hash_of(self, seq, index):
    """Case 7: a block's hash contains that of the block before it."""
    parent = None
    for i in range(index + 1):
        parent = block_hash(parent, self.tokens_of(seq, i))
    return parent


def finish_plan(self, draft):
    """Case 8: chunks stay in the order in which they were decided."""
    return Scheduler._finish_plan(self, draft)
