"""`Meeting`: how ranks find each other, and through what they sum.

    gloo                         on CPUs
    NCCL                         on GPUs: large sums, and the vocabulary
    kernels/hopper/peer_sum.py   on Hopper GPUs that see each other's memory: the sums of a decode
                                 step, which are small and many

While they load, ranks wait long for each other; once they have begun, only for seconds, because all
do the same work. Read next: `layers/split.py`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nanovllm_edu.kernels.hopper.peers import PeerMemory, why_not_shared
from nanovllm_edu.layers.split import Ranks, Sums
from nanovllm_edu.runners.build import choose_device

START_SECONDS = 600
"""Ranks load their parts at their own speed, and wait for one another."""


@dataclass(slots=True)
class Meeting:
    """One rank's place among the others.

    Attributes:
        device: Its own.
        ranks: Who is there.
        seconds: How long it waits for the others in a step.
        why_sums: Who makes the sums, and why.
    """

    device: torch.device
    ranks: Ranks
    seconds: float
    why_sums: tuple[str, str]
    _spent: float = 0.0

    @classmethod
    def join(cls, order: dict[str, Any]) -> "Meeting":
        """Waits until all ranks are there."""
        rank, num_ranks, seconds = order["rank"], order["num_ranks"], order["meet_seconds"]
        device, _ = choose_device(order["options"].get("device", "auto"))
        is_gpu = device.type == "cuda"
        if is_gpu:
            device = torch.device("cuda", rank)
            torch.cuda.set_device(device)
            _stay_off_multicast()
        dist.init_process_group(
            "nccl" if is_gpu else "gloo",
            init_method=Path(order["meeting"]).as_uri(),
            rank=rank,
            world_size=num_ranks,
            timeout=timedelta(seconds=START_SECONDS),
            device_id=device if is_gpu else None,
        )
        if not is_gpu:
            group = dist.new_group(timeout=timedelta(seconds=seconds))
            why = "gloo", "it is for CPUs"
            return cls(device, Ranks(rank, num_ranks, group), seconds, why)
        ranks = Ranks(rank, num_ranks)
        sums, why_not = _peer_sums(device, ranks)
        why = ("NCCL", f"not our own kernel: {why_not}")
        if sums is not None:
            sums.wait_at_most(START_SECONDS)
            why = ("our own kernel, NCCL above 8 MiB", "these GPUs read each other's memory")
        return cls(device, replace(ranks, sums=sums), seconds, why)

    def begin(self) -> None:
        """Waits until all are ready; from here on nobody waits long."""
        dist.barrier()
        if self.ranks.sums is not None:
            self.ranks.sums.wait_at_most(self.seconds)
        if self.device.type == "cuda":
            dist.distributed_c10d._set_pg_timeout(timedelta(seconds=self.seconds))

    def lap(self) -> Callable[[], float]:
        """What tells the seconds in sums of the step just launched, once it is done."""
        if self.ranks.sums is None:
            seconds = self.ranks.stopwatch.take()
            return lambda: seconds
        spent = self.ranks.sums.spent.to("cpu", non_blocking=True, copy=True)
        done = torch.cuda.Event()
        done.record()
        return partial(self._since_last, done, spent)

    def _since_last(self, done: torch.cuda.Event, spent: Tensor) -> float:
        done.synchronize()
        before, self._spent = self._spent, float(spent) / 1e9
        return self._spent - before


def _stay_off_multicast() -> None:
    """NVLink multicast is a setting of the whole host, which others may share: we never use it."""
    os.environ["NCCL_NVLS_ENABLE"] = "0"
    os.environ["TORCH_SYMM_MEM_DISABLE_MULTICAST"] = "1"


def _peer_sums(device: torch.device, ranks: Ranks) -> tuple[Sums | None, str | None]:
    """Our own sums; or why not. All ranks decide alike."""
    sums, why_not = None, why_not_shared(device, ranks.num_ranks)
    if not _any(why_not is not None, device):
        from nanovllm_edu.kernels.hopper.peer_sum import NUM_BYTES, PeerSums

        try:
            sums = PeerSums(PeerMemory.share(NUM_BYTES, ranks.rank, _gather))
        except RuntimeError as error:  # CUDA's; a driver need not let processes share memory
            why_not = f"their memory cannot be shared: {error!s:.100}"
    if _any(sums is None, device):
        return None, why_not or "another rank cannot use it"
    return sums, None


def _any(is_so: bool, device: torch.device) -> bool:
    """Whether it is so on any rank."""
    count = torch.tensor([int(is_so)], device=device)
    dist.all_reduce(count)
    return bool(count)


def _gather(mine: Tensor) -> list[Tensor]:
    parts = mine.new_empty(dist.get_world_size(), *mine.shape)
    dist.all_gather(list(parts), mine)
    return list(parts)
