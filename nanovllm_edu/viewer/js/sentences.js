// What happened, in plain sentences: the words of `Event.why` in core/plan.py. A browser test
// holds the two together.

const SENTENCES = {
  Admitted: (e) => `seq ${e.seq_id} is admitted to slot ${e.slot}: ${e.num_cached_tokens} of its ` +
    `${e.num_tokens} tokens are cached, the other ones need ${e.num_needed_blocks} of ` +
    `${e.num_free_blocks} free blocks, and ${e.num_chunk_tokens} fit the token budget of ` +
    `${e.budget_left} now`,
  PrefixHit: (e) => (e.block_ids.length
    ? `seq ${e.seq_id} finds its first ${e.num_tokens} tokens cached`
    : `seq ${e.seq_id} finds nothing cached`) +
    `; the match stops at block ${e.stopped_at}: ${e.stopped_because}`,
  BlockAllocated: (e) => `seq ${e.seq_id} gets block ${e.block_id} as its block ` +
    `${e.logical_index}, because its tokens [${e.start}, ${e.end}) pass the end of the blocks it has`,
  BlockCached: (e) => `block ${e.block_id} (block ${e.logical_index} of seq ${e.seq_id}) is full ` +
    `and its tokens are known, so it can be found by hash ${e.hash}`,
  BlockEvicted: (e) => `block ${e.block_id} forgets its content (hash ${e.hash}): seq ${e.seq_id} ` +
    `needs a block, none is blank, and it is first in line by ${e.policy}`,
  BlockForgotten: (e) => `block ${e.block_id} forgets its content (hash ${e.hash}): the block in ` +
    `front of it was evicted, so no match could reach it, and block ${e.for_block_id} of seq ` +
    `${e.seq_id} now has the same content`,
  BlockFreed: (e) => `seq ${e.seq_id} lets go of block ${e.block_id}: ` + (e.ref_count
    ? `still used by ${e.ref_count} other sequence(s)`
    : e.is_cached ? "free but findable until evicted" : "free and blank"),
  Preempted: (e) => `seq ${e.seq_id} is preempted and lets go of ${e.num_blocks} blocks ` +
    `(${e.num_lost_tokens} computed tokens, to be found again or recomputed): ${e.reason}`,
  TokenSampled: (e) => `seq ${e.seq_id} got token ${e.token_id} at position ${e.position}`,
  Finished: (e) => `seq ${e.seq_id} is finished with ${e.num_tokens} tokens (reason ` +
    `'${e.reason}': ${e.detail})`,
};

export const EVENT_LABELS = { Admitted: "admit", PrefixHit: "match", BlockAllocated: "allocate",
  BlockCached: "cache", BlockEvicted: "evict", BlockForgotten: "forget", BlockFreed: "free",
  Preempted: "preempt", TokenSampled: "token", Finished: "finish" };

export function withWhy(event) {
  return { ...event, why: SENTENCES[event.kind](event) };
}
