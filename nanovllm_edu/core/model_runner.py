"""`ModelRunner` and `Ticket`: all that the engine knows of a device.

`launch(plan)` starts the work and returns at once with a `Ticket`; `ticket.wait()` blocks until the
new tokens are on this side. Between the two the next step can be planned: that gap is what
`LLMEngine.run(depth=1)` uses.

A runner keeps, for each row, what `Joined` said, a copy of the block table, and the tokens: those
it was given and those it sampled itself. It executes plans in launch order: for that reason a block
or row that the plan before gave up is free to be used again at once.

Rejected guesses leave keys and values behind the last settled token. The next step of that row
begins there and overwrites them.

Read next: `runners/checksum.py`, the smallest runner; then `runners/eager.py`. Where the model is
elsewhere: `wire/messages.py`, `runners/remote.py`; where several share it:
`runners/tensor_parallel.py`.
"""

from typing import Protocol, Self, runtime_checkable

from nanovllm_edu.core.plan import StepOutput, StepPlan


class Ticket(Protocol):
    """A step that has been launched."""

    def wait(self) -> StepOutput:
        """Blocks until the step is done and returns what came out.

        Raises:
            Exception: Whatever the device reports. The engine then takes back this step and those
                launched after it.
        """
        ...


@runtime_checkable
class AskableTicket(Ticket, Protocol):
    """One that can say whether its step is done. Not all devices can."""

    @property
    def is_done(self) -> bool:
        """Whether `wait` returns at once."""
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
        """Starts one step. Launched plans take effect in launch order.

        Raises:
            EngineClosedError: The runner was closed.
            Exception: Whatever the device reports, out of memory for one. The step then counts as
                not launched: the engine takes its plan back, and the sequences wait again. Rows and
                block tables need not be undone: whoever runs next joins anew.
        """
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
