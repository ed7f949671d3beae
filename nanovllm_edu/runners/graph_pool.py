"""`GraphPool`: records CUDA graphs, which take turns in one piece of memory.

Read next: `runners/decode_graphs.py`, `runners/prefill_graphs.py`.
"""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


class GraphPool:
    """Where the graphs of one runner keep what they compute on the way: they never run at once."""

    def __init__(self) -> None:
        self._memory = torch.cuda.graph_pool_handle()

    def capture(self, work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
        """Runs `work` once, which compiles its kernels, then records it."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on asking the device something: NCCL's watchdog does.
        with torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"):
            result = work()
        return graph, result
