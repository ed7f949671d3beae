"""One sum over all GPUs: our own kernel against NCCL, both from a CUDA graph of forty.

    python benchmarks/peer_sums.py                # two GPUs
    python benchmarks/peer_sums.py --ranks 4

First each result is compared with the reference, bit by bit. Ours also adds the sum to a residual
stream and leaves its squares; NCCL's needs another kernel for that, which is not counted here.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from gpu_step import microseconds

from nanovllm_edu.kernels.triton.residual import Residual
from nanovllm_edu.layers.split import Place
from nanovllm_edu.runners.meeting import Meeting

WIDTH, COUNT = 4096, 40
ROWS = (1, 8, 32, 64, 128, 512)
"""Of 4096 bfloat16 numbers: 64 of them are half a megabyte."""


def measure_sums(num_ranks: int) -> dict[str, Any]:
    """Microseconds of a sum, by rows; in processes of their own."""
    with tempfile.TemporaryDirectory() as meeting:
        order = {
            "num_ranks": num_ranks, "meeting": f"{meeting}/meeting", "meet_seconds": 6.0,
            "options": {},
        }  # fmt: skip
        ranks = [
            subprocess.Popen(
                [sys.executable, __file__, "--one-rank", json.dumps(order | {"rank": rank})],
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(num_ranks)
        ]
        texts = [rank.communicate(timeout=120)[0] for rank in ranks]
    lines = [line for line in texts[0].splitlines() if line.startswith("RESULT ")]
    return json.loads(lines[0].removeprefix("RESULT ")) if lines else {"error": texts[0][-500:]}


def one_rank(order: dict[str, Any]) -> None:
    """Checks and measures; rank 0 prints what it found."""
    meeting = Meeting.join(order)
    found: dict[str, Any] = {"who": ": ".join(meeting.why_sums)}
    torch.manual_seed(order["rank"])
    for rows in ROWS:
        x = torch.randn(rows, WIDTH, device=meeting.device).bfloat16()
        halve = partial(repeat, COUNT, [partial(x.mul_, 0.5)])
        both = partial(repeat, COUNT, [partial(dist.all_reduce, x), partial(x.mul_, 0.5)])
        found[str(rows)] = {"NCCL": (microseconds(both, 1) - microseconds(halve, 1)) / COUNT}
        if meeting.ranks.sums is not None:
            found[str(rows)]["ours"] = ours(meeting, rows)
    if order["rank"] == 0:
        print("RESULT " + json.dumps(found), flush=True)
    dist.barrier()
    torch.cuda.synchronize()
    os._exit(0)


def ours(meeting: Meeting, rows: int) -> float:
    """Microseconds of our own sum, once it was found right."""
    from nanovllm_edu.kernels.hopper.peer_sum import PeerSums, reference

    sums = meeting.ranks.sums
    assert isinstance(sums, PeerSums)
    x = torch.randn(rows, WIDTH, device=meeting.device).bfloat16()
    squares = torch.empty(rows, WIDTH // 64, device=meeting.device)
    residual = Residual(torch.zeros_like(x), torch.empty_like(x), squares)
    launches: list[Callable[[], object]] = []
    for place in (Place.ATTENTION, Place.MLP):
        sums.part(place, rows, WIDTH).copy_(x)
        launches.append(sums.into(residual, place, is_added=True, is_overlapped=True))
    launches[0]()
    parts = x.new_empty(meeting.ranks.num_ranks, *x.shape)
    dist.all_gather(list(parts), x)
    assert torch.equal(residual.values, reference(list(parts))), f"{rows} rows differ"
    expected = residual.values.float().square().unflatten(1, (WIDTH // 64, -1)).sum(2)
    torch.testing.assert_close(residual.squares, expected, rtol=1e-4, atol=1e-3)
    return microseconds(partial(repeat, COUNT // 2, launches), COUNT)


def repeat(count: int, launches: list[Callable[[], object]]) -> None:
    for _ in range(count):
        for launch in launches:
            launch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--one-rank", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one_rank:
        one_rank(args.one_rank)
    if torch.cuda.device_count() < args.ranks:
        raise SystemExit(f"there are not {args.ranks} GPUs here")
    print(json.dumps(measure_sums(args.ranks), indent=1))


if __name__ == "__main__":
    main()
