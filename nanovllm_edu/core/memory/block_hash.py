"""The content hash of a KV block: xxh64 over its tokens *and* the hash of the block before it.

A key or value depends on every token before it, so two blocks with equal tokens hold equal KV only
if everything in front of them is equal too. Chaining the parent's hash says exactly that.

This module knows nothing of blocks' storage; `core/memory/hash_index.py` maps hashes to contents,
and compares tokens as well, because a hash is a hint and not a proof.

Source: vLLM's automatic prefix caching; nano-vLLM uses the same xxh64 chain.
"""

from array import array
from collections.abc import Callable, Sequence

import xxhash

from nanovllm_edu.core.request.sequence import TOKEN_TYPE

HashFunction = Callable[[int | None, Sequence[int]], int]


def block_hash(parent: int | None, token_ids: Sequence[int]) -> int:
    """Hashes one full block.

    Args:
        parent: Hash of the block before it; None for the first block of a sequence.
        token_ids: The block's tokens, `block_size` of them.

    Returns:
        An unsigned 64-bit integer.
    """
    content = array(TOKEN_TYPE, () if parent is None else (parent,))
    content.extend(token_ids)
    return xxhash.xxh64_intdigest(content)
