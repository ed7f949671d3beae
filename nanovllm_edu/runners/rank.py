"""One rank of several that share a model: a process that runs every plan with its part of it.

    python -m nanovllm_edu.runners.rank FD ORDER    `runners/tensor_parallel.py` starts it

Plans come as bytes (`wire/messages.py`), to all ranks the same ones, and each rank keeps tables and
a cache of its own. All of them draw each token, from the same logits and the same noise, so nobody
has to tell the others. Only rank 0 answers.

When its engine is gone, the pipe ends, and so does the rank. Read next: `runners/load.py`,
`models/shard.py`.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.layers.split import Ranks
from nanovllm_edu.runners.build import choose_device
from nanovllm_edu.runners.eager import EagerRunner
from nanovllm_edu.runners.load import load_runner
from nanovllm_edu.wire.messages import (
    MAX_BYTES,
    Failure,
    Hello,
    decode_plan,
    encode,
    encode_output,
)

START_SECONDS = 600
"""Ranks load their parts at their own speed, and wait for one another."""


def main(pipe: Connection, order: dict[str, Any]) -> None:
    """Runs plans until the pipe ends; whatever goes wrong is the last thing that is said."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the engine
    with suppress(EOFError, BrokenPipeError):
        try:
            runner, hello = _start(order)
            pipe.send_bytes(encode(hello))
            while data := pipe.recv_bytes(MAX_BYTES):  # an empty one says good-bye
                plan = decode_plan(data)
                output = runner.launch(plan).wait()
                if order["rank"] == 0:
                    pipe.send_bytes(encode_output(plan.step_id, output))
        except (EOFError, BrokenPipeError):
            raise
        except BaseException as error:
            pipe.send_bytes(encode(Failure(f"{type(error).__name__}: {error!s:.1000}")))


def _start(order: dict[str, Any]) -> tuple[EagerRunner, Hello]:
    """Meets the others, loads its part, and waits until all have theirs."""
    rank, num_ranks = order["rank"], order["num_ranks"]
    options = order["options"] | {"enforce_eager": True}  # graphs read weights as if all were here
    device, _ = choose_device(options.get("device", "auto"))
    if device.type == "cuda":
        options["device"] = f"cuda:{rank}"
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=Path(order["meeting"]).as_uri(),
        rank=rank,
        world_size=num_ranks,
        timeout=timedelta(seconds=START_SECONDS),
    )
    group = dist.new_group(timeout=timedelta(seconds=order["meet_seconds"]))
    ranks = Ranks(rank, num_ranks, group)
    config = EngineConfig.from_options(options)
    eos = frozenset(order["eos_token_ids"])
    runner, config, info = load_runner(Path(order["folder"]), config, options, eos, ranks)
    dist.barrier()
    sizes = config.max_num_seqs, config.max_num_batched_tokens
    return runner, Hello.of(runner, *sizes, info.choices)


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as pipe:
        main(pipe, json.loads(sys.argv[2]))
    os._exit(0)  # without asking the others, some of whom may not be there any more
