"""`ModelRunner` and `Ticket`: all that the engine knows of a device.

`launch(plan)` starts the work and returns at once with a `Ticket`; `ticket.wait()` blocks until the
sampled tokens are on this side. Between the two the next step can be planned: that gap is what
`LLMEngine.run(depth=1)` uses.

A runner keeps, per slot, a copy of the block table and of the last sampled token. It writes the
copy only from `Chunk.first_block` / `new_block_ids`, and it executes plans in launch order: for
that reason a block or slot that the plan before gave up is free to be used again at once.

Read next: `runners/checksum.py`, the smallest runner; then `runners/eager.py`.
"""

from collections.abc import Mapping
from typing import Protocol, Self

from nanovllm_edu.core.plan import StepPlan, TokenLogprobs


class Ticket(Protocol):
    """A step that has been launched."""

    def wait(self) -> Mapping[int, int]:
        """Blocks until the step is done and returns the sampled token id of each seq_id."""
        ...

    @property
    def logprobs(self) -> Mapping[int, TokenLogprobs]:
        """Log probabilities of the sequences that asked for them. Valid after `wait()`."""
        ...

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds of each phase: "prepare", "forward", "sample". Valid after `wait()`."""
        ...


class ModelRunner(Protocol):
    """Turns plans into tokens. It owns the weights and the KV cache."""

    @property
    def num_blocks(self) -> int:
        """Blocks in its KV cache."""
        ...

    @property
    def block_size(self) -> int:
        """Token slots in a block."""
        ...

    @property
    def vocab_size(self) -> int:
        """Token ids are in [0, vocab_size)."""
        ...

    @property
    def max_model_len(self) -> int:
        """Positions the model can tell apart."""
        ...

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """Tokens by which the model says that it is done."""
        ...

    def launch(self, plan: StepPlan) -> Ticket:
        """Starts one step. Launched plans take effect in launch order."""
        ...

    def fork(self, num_blocks: int | None = None, block_size: int | None = None) -> Self:
        """A runner of its own that shares the weights.

        Without arguments it has a copy of the cache and tables; with another number or size of
        blocks its cache is blank.
        """
        ...

    def close(self) -> None:
        """Gives the memory back. Calling it again does nothing."""
        ...
