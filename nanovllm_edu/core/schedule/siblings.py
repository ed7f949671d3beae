"""Siblings: the answers to one prompt (`SamplingParams(n=...)`) share what is computed of it.

Each is a sequence of its own, with its own seed, row, ending and preemptions. What they have in
common is the prompt: one computes it while the others wait, and these then begin with its blocks.

    full blocks        by reference: nobody writes to them any more
    the rest of it     a copy (`BlockCopy`), made before the step computes anything: each sibling
                       writes its own tokens behind it
    the last token     goes through the model for each: the first answer is drawn from its logits,
                       and a row of logits is one sequence's

Nobody is the leader. Whoever runs and has the prompt gives it, so a sibling that was preempted, or
that got its row when the first one had ended, comes to it in the same way. If none of them runs, it
is a request like any other, and the prefix cache may know some of it.

Source: parallel sampling in vLLM (Kwon et al., 2023, section 4.4).
Read next: `core/schedule/draft_proposer.py`.
"""

from collections.abc import Mapping

from nanovllm_edu.core.events import PromptShared, counted
from nanovllm_edu.core.memory.prefix_cache import PrefixMatch
from nanovllm_edu.core.plan import DEVICE_TIER, BlockCopy, Blocked, BlockRef
from nanovllm_edu.core.request.sequence import Sequence


class Siblings:
    """Finds what a sequence that waits, one of several answers, can take over.

    Args:
        running: All that run, by seq_id.
        starts: Of those in the step that is being built: how many of their tokens are surely in the
            cache before it.
        block_size: Token slots in a block.
    """

    def __init__(
        self, running: Mapping[int, Sequence], starts: Mapping[int, int], block_size: int
    ) -> None:
        self._running = running
        self._starts = starts
        self._block_size = block_size

    def why_wait(self, seq: Sequence) -> Blocked | None:
        """Whether a sibling is computing the prompt; None if nobody is, or it is done."""
        sibling = self._nearest(seq)
        if sibling is None:
            return None
        num_ready = self._num_ready(sibling)
        if num_ready == seq.num_prompt_tokens:
            return None
        detail = (
            f"seq {sibling.seq_id} computes the prompt that it shares, and had {num_ready} of "
            f"{counted(seq.num_prompt_tokens, 'token')} before this step"
        )
        return Blocked(seq.seq_id, "prompt", seq.num_prompt_tokens, num_ready, detail)

    def match(self, seq: Sequence, cached: PrefixMatch) -> PrefixMatch:
        """What need not be computed: what a sibling has, or what is cached if that is more."""
        sibling = self._nearest(seq)
        if sibling is None:
            return cached
        num_tokens = min(seq.num_prompt_tokens, len(seq.token_ids) - 1)
        if num_tokens < cached.num_tokens:
            return cached
        num_full, rest = divmod(num_tokens, self._block_size)
        reason = (
            f"the rest of the prompt, {rest} of {self._block_size} tokens, does not fill a block "
            "and is copied"
        )
        block_ids = tuple(sibling.block_table[:num_full])
        return PrefixMatch(block_ids, 0, num_tokens, reason if rest else "", sibling.seq_id)

    def take(self, seq: Sequence, match: PrefixMatch) -> tuple[PromptShared, tuple[BlockCopy, ...]]:
        """What to say of a sibling's prompt that `seq` has begun with, and what must be copied."""
        block_ids, _, num_tokens, reason, sibling_id = match
        assert sibling_id is not None
        copies: tuple[BlockCopy, ...] = ()
        if num_tokens % self._block_size:
            index = len(block_ids)
            source = BlockRef(DEVICE_TIER, self._running[sibling_id].block_table[index])
            copies = (BlockCopy(source, BlockRef(DEVICE_TIER, seq.block_table[index])),)
        copied = copies[0].source.block_id if copies else None
        said = PromptShared(seq.seq_id, block_ids, num_tokens, reason, sibling_id, copied)
        return said, copies

    def _nearest(self, seq: Sequence) -> Sequence | None:
        """The running sibling that has most of the prompt."""
        siblings = [one for one in self._running.values() if one.prompt_id == seq.prompt_id]
        return max(siblings, key=self._num_ready, default=None)

    def _num_ready(self, seq: Sequence) -> int:
        """Tokens of its prompt that are computed before this step, when its copies are made."""
        start = self._starts.get(seq.seq_id, seq.num_computed_tokens)
        return min(start, seq.num_prompt_tokens)
