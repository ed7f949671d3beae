"""`TensorParallelRunner`: several processes share a model, each with a part of every matrix.

    engine ── plan, as bytes ──┬──► rank 0 ── output, as bytes ──► engine
                               ├──► rank 1
                               └──► rank 2       between them: sums and the vocabulary, in each step

The ranks are ordinary runners with narrower models (`models/shard.py`), in processes of their own:
no interpreter's lock is between them, and on GPUs each has one. They are started as new Python
processes, not as copies of this one: it works from a notebook, and whatever threads there are.

A fork is one more runner in the same processes, which share the weights with the first.

One that ends, fails or stops ends all of them. Whoever waits gets a `DeviceLostError` that says
which one, and why.

Read next: `runners/crew.py`, the processes.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.errors import EngineClosedError
from nanovllm_edu.models.registry import read_config
from nanovllm_edu.models.shard import Shard
from nanovllm_edu.runners.crew import Crew, Rank
from nanovllm_edu.wire.messages import Drop, Fork, Hello, encode_plan

RANK_OPTIONS = frozenset(
    {
        "block_size",
        "num_blocks",
        "max_num_seqs",
        "max_num_batched_tokens",
        "max_model_len",
        "dtype",
        "weight_dtype",
        "device",
        "attention_backend",
        "gpu_memory_utilization",
        "enforce_eager",
    }
)
"""Options that are a rank's, not the engine's."""

MEET_SECONDS = 6.0
"""In a step all ranks do the same work: one that the others wait for so long has stopped."""


class TensorParallelRunner:
    """A `ModelRunner` of several processes.

    Args:
        folder: Of the model.
        config: Options; `tensor_parallel_size` is the number of ranks.
        options: Those that somebody asked for.
        eos_token_ids: The tokenizer's ends of a text.

    Raises:
        ConfigError: So many ranks cannot share the model's heads.
        DeviceLostError: A rank cannot start; says why.
    """

    def __init__(
        self,
        folder: Path,
        config: EngineConfig,
        options: dict[str, Any],
        eos_token_ids: frozenset[int],
    ) -> None:
        num_ranks = config.tensor_parallel_size
        Shard(0, num_ranks, read_config(folder))  # refused before anything is started
        self._crew = Crew(
            {
                "folder": str(folder.resolve()),
                "num_ranks": num_ranks,
                "options": {name: options[name] for name in options.keys() & RANK_OPTIONS},
                "eos_token_ids": sorted(eos_token_ids),
                "meet_seconds": MEET_SECONDS,
            }
        )
        self._number, self._numbers = 0, count(1)
        self._users = {0}  # runners that are not closed; the last one ends the ranks
        self._is_closed = False
        self._take_facts(self._crew.hellos)

    def _take_facts(self, hellos: list[Hello]) -> None:
        hello = hellos[0]
        self.num_blocks = min(one.num_blocks for one in hellos)
        self.block_size = hello.block_size
        self.vocab_size = hello.vocab_size
        self.max_model_len = hello.max_model_len
        self.max_num_seqs = hello.max_num_seqs
        self.max_num_batched_tokens = hello.max_num_batched_tokens
        self.prefill_chunk_size = hello.prefill_chunk_size
        self.eos_token_ids = frozenset(hello.eos_token_ids)
        why = "asked for by tensor_parallel_size; what is below is of rank 0, which has such a part"
        self.choices = {"ranks": (str(len(hellos)), why), **hello.choices}
        for number, one in enumerate(hellos):
            self.choices[f"rank {number}"] = one.choices[f"rank {number}"]

    @property
    def ranks(self) -> list[Rank]:
        """The processes."""
        return self._crew.ranks

    def launch(self, plan: StepPlan) -> "RanksTicket":
        """Sends the plan to all ranks.

        Raises:
            EngineClosedError: The runner was closed.
            DeviceLostError: A rank has ended, and so have all.
        """
        if self._is_closed:
            raise EngineClosedError("this runner is closed; make a new engine.")
        return RanksTicket(self._crew.launch(self._number, encode_plan(plan)))

    def fork(
        self, num_blocks: int | None = None, block_size: int | None = None
    ) -> "TensorParallelRunner":
        """A runner in the same processes: with a copy of each cache, or blank other ones."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._number = next(self._numbers)
        self._users.add(twin._number)
        self._crew.tell(Fork(twin._number, self._number, num_blocks, block_size))
        twin.num_blocks = num_blocks or self.num_blocks
        twin.block_size = block_size or self.block_size
        return twin

    def close(self) -> None:
        """Lets go of the caches; the last runner ends the ranks. Calling it again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._users.discard(self._number)
        if self._users:
            self._crew.tell(Drop(self._number))
        else:
            self._crew.close()

    def __repr__(self) -> str:
        return f"TensorParallelRunner({len(self.ranks)} ranks)"


@dataclass(slots=True)
class RanksTicket:
    """A step that was sent to all ranks."""

    output: "Future[StepOutput]"

    def wait(self) -> StepOutput:
        """Blocks until rank 0 has answered.

        Raises:
            DeviceLostError: A rank has ended.
        """
        return self.output.result()
