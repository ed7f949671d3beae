"""`PrefixIndex`: which contents can be found, and in which blocks.

A prompt is looked up block by block, from the front, until one is missing. A hit is proved, not
believed: a block is found by its chained hash, then its tokens are compared and its parent must be
the very content matched just before it (`content_id`), so that no collision, in the block or
anywhere in front of it, can serve the KV of another prompt.

It does not know who uses a block. Source: vLLM's automatic prefix caching.
Read next: `core/memory/block_hash.py`.
"""

from array import array
from typing import NamedTuple

from nanovllm_edu.core.memory.block_hash import HashFunction, block_hash
from nanovllm_edu.core.memory.blocks import ROOT, Block
from nanovllm_edu.core.request.sequence import Sequence


class PrefixMatch(NamedTuple):
    """The leading blocks of a sequence that are already computed, and why there are not more."""

    block_ids: tuple[int, ...]
    num_tokens: int
    num_free: int
    """How many of these blocks have no user now: taking them uses up free blocks."""
    stopped_because: str


class PrefixIndex:
    """From content to block. Each findable content has one block and an id of its own."""

    def __init__(self, block_size: int, hash_function: HashFunction = block_hash) -> None:
        self.block_size = block_size
        self._hash = hash_function
        self._by_hash: dict[int, Block] = {}
        self._findable_contents = {ROOT}
        self._last_content_id = ROOT

    # ---------------------------------------------------------------------- look up

    def match(self, seq: Sequence) -> PrefixMatch:
        """Finds the longest run of leading blocks of `seq` that are already computed."""
        found: list[int] = []
        num_free = 0
        parent_content_id = ROOT
        for index in range(self.num_matchable_blocks(seq)):
            block = self.find(seq, index)
            if block is None:
                reason = "no block has its hash (never computed, or evicted)"
                break
            if not self.holds(block, seq, index, parent_content_id):
                reason = self._why_not(block)
                break
            found.append(block.block_id)
            num_free += block.ref_count == 0
            parent_content_id = block.content_id
        else:
            reason = self._why_no_more(seq)
        return PrefixMatch(tuple(found), len(found) * self.block_size, num_free, reason)

    def find(self, seq: Sequence, index: int) -> Block | None:
        """The block with the hash of block `index` of `seq`: a hint, no proof."""
        return self._by_hash.get(self.hash_of(seq, index))

    def holds(self, block: Block, seq: Sequence, index: int, parent_content_id: int | None) -> bool:
        """The proof: whether `block` holds exactly the KV of block `index` of `seq`."""
        return block.parent_content_id == parent_content_id and block.token_ids == self.tokens_of(
            seq, index
        )

    def is_findable(self, content_id: int | None) -> bool:
        """Whether a match can reach this content, so that blocks behind it can be found too."""
        return content_id in self._findable_contents

    def num_matchable_blocks(self, seq: Sequence) -> int:
        """Full blocks in front of the last token.

        That one is never part of a match, however much is cached: the logits of the next token
        come from putting it through the model.
        """
        return (len(seq.token_ids) - 1) // self.block_size

    def hash_of(self, seq: Sequence, index: int) -> int:
        """The chained hash of block `index`, computed once per sequence and block."""
        hashes = seq.block_hashes
        while len(hashes) <= index:
            parent = hashes[-1] if hashes else None
            hashes.append(self._hash(parent, self.tokens_of(seq, len(hashes))))
        return hashes[index]

    def tokens_of(self, seq: Sequence, index: int) -> "array[int]":
        """The tokens of block `index` of `seq`."""
        start = index * self.block_size
        return seq.token_ids[start : start + self.block_size]

    def _why_not(self, block: Block) -> str:
        """Why a block with the right hash is no hit."""
        if not self.is_findable(block.parent_content_id):
            return "a block has its hash, but the block that one was computed after was evicted"
        return "a block has its hash but other content (a hash collision)"

    def _why_no_more(self, seq: Sequence) -> str:
        """Why a match that found everything it looked for does not go further."""
        rest = len(seq.token_ids) % self.block_size
        if rest == 0:
            return "the last token must be computed to get the next one's logits"
        return f"the rest, {rest} of {self.block_size} tokens, does not fill a block"

    # --------------------------------------------------------------- remember, forget

    def num_cacheable_blocks(self, seq: Sequence) -> int:
        """Full blocks of tokens that are both computed and known.

        The newest token is known before it is computed, a token in flight computed before it is
        known.
        """
        return min(seq.num_computed_tokens, len(seq.token_ids)) // self.block_size

    def add(self, block: Block, seq: Sequence, index: int) -> int:
        """Makes findable that `block` holds block `index` of `seq`. Returns its hash."""
        assert seq.parent_content_id is not None
        key = self.hash_of(seq, index)
        block.hash, block.token_ids = key, self.tokens_of(seq, index)
        self._last_content_id += 1
        block.content_id, block.parent_content_id = self._last_content_id, seq.parent_content_id
        seq.parent_content_id = block.content_id
        self._by_hash[key] = block
        self._findable_contents.add(block.content_id)
        return key

    def forget(self, block: Block) -> None:
        """The block's memory is about to be overwritten: no one may find its old content."""
        assert block.hash is not None
        del self._by_hash[block.hash]
        self._findable_contents.remove(block.content_id)
        block.hash, block.token_ids = None, ()
        block.content_id = block.parent_content_id = ROOT

    def forget_all(self) -> None:
        """Nothing can be found any more."""
        for block in list(self._by_hash.values()):
            self.forget(block)

    def check_invariants(self, blocks: list[Block]) -> None:
        """Fails an assertion if a hash does not lead to its block, and to no other."""
        for block in blocks:
            assert block.hash is None or self._by_hash.get(block.hash) is block, (
                f"block {block.block_id} has a hash by which another block, or none, is found"
            )
        for key, block in self._by_hash.items():
            assert block.hash == key, f"block {block.block_id} is found by a hash it has not"
