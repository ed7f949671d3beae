"""`Draft`: one step while it is being planned.

A step has three things to give: tokens of its budget, slots and blocks. The draft knows what is
left of them and what they were given for so far. `add_chunk` is the only way into the step.

Everything counts on at once, as if the step were done already: what is planned next, in this step
or in one planned ahead, sees the lengths as they will be.

It does not know who should be in it: `core/schedule/planning.py` asks the policy. Read next:
`core/schedule/planning.py`.
"""

from dataclasses import dataclass, field

from nanovllm_edu.core.events import PackedEvent
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.plan import Blocked, Chunk
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import SchedulingPolicy
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.token_ids import TokenIds


@dataclass(slots=True)
class Draft:
    """What is in a step so far, and what is left for others.

    Attributes:
        queues: Whom it can take, and the slots it can give.
        policy: Who goes first, and who gives way.
        max_num_batched_tokens: The token budget of a whole step.
        enable_chunked_prefill: Whether a prompt may be cut to fit the rest of the budget.
        block_manager: The blocks it can give.
        budget: Tokens that still fit.
        chunks: The work, in batch order.
        planned: seq_ids of the chunks.
        preempted: seq_ids that had to give way, in that order.
        blocked: Why the first waiting sequence that was asked cannot start.
        events: Every decision, in the order it was taken.
    """

    queues: Queues
    policy: SchedulingPolicy
    max_num_batched_tokens: int
    enable_chunked_prefill: bool
    block_manager: BlockManager = field(init=False)
    budget: int = field(init=False)
    chunks: list[Chunk] = field(init=False)
    planned: set[int] = field(init=False)
    preempted: list[int] = field(init=False)
    events: list[PackedEvent] = field(init=False)
    blocked: Blocked | None = None

    def __post_init__(self) -> None:
        self.block_manager = self.queues.block_manager
        self.budget = self.max_num_batched_tokens
        self.chunks, self.planned, self.preempted, self.events = [], set(), [], []

    def add_chunk(self, seq: Sequence, num_tokens: int, first_block: int) -> None:
        """Books the next `num_tokens` of `seq` into the step and advances its counters.

        Args:
            seq: A running sequence whose blocks hold these tokens.
            num_tokens: At most `budget`.
            first_block: Blocks from this logical index on are new to the device.
        """
        start, token_ids = seq.num_computed_tokens, seq.token_ids
        end = start + num_tokens
        samples = end == len(token_ids) + seq.num_in_flight
        assert seq.slot is not None
        is_new_here = first_block == 0 and start > 0 and seq.params.needs_history
        chunk = Chunk(
            seq.seq_id,
            seq.slot,
            start,
            num_tokens,
            () if seq.is_decoding else TokenIds(token_ids, start, end),
            first_block,
            tuple(seq.block_table[first_block:]),
            samples,
            seq.params,
            seq.seed,
            seq.num_prompt_tokens,
            TokenIds(token_ids, 0, start) if is_new_here else (),
        )
        self.chunks.append(chunk)
        self.planned.add(seq.seq_id)
        self.budget -= num_tokens
        seq.num_computed_tokens = end
        if samples:
            seq.num_in_flight += 1
            seq.is_decoding = True
        if num_tokens > 1 or end % self.block_manager.block_size == 0:
            self.events += self.block_manager.cache_full_blocks(seq)
