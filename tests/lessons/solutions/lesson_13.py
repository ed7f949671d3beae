"""Solutions of lesson 13, the bug hunt. Each function is a method of the class it mends."""

from nanovllm_edu.core.memory.block_hash import block_hash
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.runners.checksum import sample as sample_token


def reclaim(self, evictable):
    """Case 1: the block holds nothing any more, and the content is in no block."""
    block = self._blocks[evictable.pop()]
    content = block.content
    block.content = content.block = None
    self._prune(content)
    return block.block_id, content


def publish(self, seq):
    """Case 2: full blocks of tokens that are known and computed."""
    return self.publish_first(seq, min(seq.num_computed_tokens, len(seq.token_ids)))


def num_matchable_blocks(self, seq):
    """Case 3: the last token is always computed."""
    return (len(seq.token_ids) - 1) // self.block_size


def sample(self, span):
    """Case 4: a token attends to everything in front of it."""
    row = self._rows[span.row]
    context = [self._read(row.tables[0], 0, position) for position in range(span.end)]
    token = sample_token(context, row.sampling, row.joined.seed, self.vocab_size)
    row.token_ids[span.end :] = [token]
    return (token,)


def match_prefix(self, seq):
    """Case 5: what is computed is what the match found."""
    return BlockManager.match_prefix(self, seq)


def add_ref(self, block):
    """Case 6: every user counts."""
    if block.ref_count == 0:
        self.evictable.remove(block.block_id)
    block.ref_count += 1


def hash_of(self, lease, index):
    """Case 7: a block's hash contains that of the block before it."""
    while len(lease.hashes) <= index:
        parent = lease.hashes[-1] if lease.hashes else None
        token_ids = self._tokens(lease, len(lease.hashes))
        lease.hashes.append(block_hash(parent, token_ids))
    return lease.hashes[index]


def plan(self):
    """Case 8: spans stay in the order in which they were decided."""
    return Scheduler.plan(self)
