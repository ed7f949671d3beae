"""One rank of several that share a model: a process that runs every plan with its part of it.

    python -m nanovllm_edu.runners.rank FD ORDER    `runners/tensor_parallel.py` starts it

Plans come as bytes (`wire/messages.py`), to all ranks the same ones, and each rank keeps tables and
a cache of its own. All of them draw each token, from the same logits and the same noise, so nobody
has to tell the others. Only rank 0 tells the engine; the others say how long they took.

One thread takes plans and launches them, the other waits for what comes out. So a GPU has its next
step before it is done with this one.

When its engine is gone, the pipe ends, and so does the rank: at once, even if it loads, or waits
for another rank in a sum. A third thread looks for that. Read next: `runners/load.py`,
`runners/meeting.py`.
"""

import json
import os
import select
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.model_runner import Ticket
from nanovllm_edu.errors import WireError
from nanovllm_edu.layers.split import Ranks
from nanovllm_edu.models.registry import read_config
from nanovllm_edu.models.shard import Shard
from nanovllm_edu.runners.eager import EagerRunner
from nanovllm_edu.runners.load import load_runner
from nanovllm_edu.runners.meeting import Meeting
from nanovllm_edu.wire.messages import (
    MAX_BYTES,
    Drop,
    Failure,
    Fork,
    Hello,
    Message,
    Plan,
    Turn,
    decode,
    encode,
    encode_output,
    plan_of,
)

Launched = tuple[int, Ticket, Any]
"""A step, its ticket, and what says the time that it spends in meetings."""


def main(pipe: Connection, order: dict[str, Any]) -> None:
    """Runs plans until the pipe ends; whatever goes wrong is the last thing that is said."""
    Thread(target=_end_with_engine, args=(pipe, order), daemon=True).start()
    launched: SimpleQueue[Launched | BaseException | None] = SimpleQueue()
    answers = Thread(target=_answer, args=(pipe, launched, order["rank"] == 0), daemon=True)
    try:
        meeting = Meeting.join(order)
        runner, hello = _load(order, meeting)
        runners, turn = {0: runner}, 0
        pipe.send_bytes(encode(hello))
        answers.start()
        while data := pipe.recv_bytes(MAX_BYTES):  # an empty one says good-bye
            match message := decode(data, Message):
                case Turn():
                    turn = message.number
                case Fork(number, parent, num_blocks, block_size):
                    runners[number] = runners[parent].fork(num_blocks, block_size)
                case Drop():
                    runners.pop(message.number).close()
                case Plan():
                    plan = plan_of(message)
                    launched.put((plan.step_id, runners[turn].launch(plan), meeting.lap()))
                case _:
                    raise WireError(f"a {type(message).__name__} is nothing that a rank does.")
        launched.put(None)
    except (EOFError, BrokenPipeError):
        return
    except BaseException as error:
        launched.put(error)
        if not answers.is_alive():
            answers.start()
    answers.join()


def _end_with_engine(pipe: Connection, order: dict[str, Any]) -> None:
    """Ends this process when the other end of the pipe is gone, or whoever started it.

    The pipe alone is not enough: a process that the engine's owner forked has it open, too.
    """
    end = select.poll()
    end.register(pipe, 0)  # nothing but its end
    while os.getppid() == order["engine"] and not end.poll(1000):
        pass
    shutil.rmtree(Path(order["meeting"]).parent, ignore_errors=True)  # is there until all have met
    os._exit(0)


def _answer(
    pipe: Connection, launched: "SimpleQueue[Launched | BaseException | None]", is_first: bool
) -> None:
    """Says what comes out of each step."""
    with suppress(EOFError, BrokenPipeError):
        try:
            while one := launched.get():
                if isinstance(one, BaseException):
                    raise one
                step_id, ticket, lap = one
                output = ticket.wait()
                output = replace(output, timings={**output.timings, "all-reduce": lap()})
                if not is_first:
                    output = replace(output, tokens={}, logprobs={}, errors={})
                pipe.send_bytes(encode_output(step_id, output))
        except (EOFError, BrokenPipeError):
            raise
        except BaseException as error:
            pipe.send_bytes(encode(Failure(f"{type(error).__name__}: {error!s:.1000}")))
    os._exit(0)  # without asking the others, some of whom may not be there any more


def _load(order: dict[str, Any], meeting: Meeting) -> tuple[EagerRunner, Hello]:
    """Loads its part, and waits until all have theirs."""
    options = dict(order["options"])
    if meeting.device.type == "cuda":
        options["device"] = str(meeting.device)
    config = EngineConfig.from_options(options)
    eos, ranks = frozenset(order["eos_token_ids"]), meeting.ranks
    runner, config, info = load_runner(Path(order["folder"]), config, options, eos, ranks)
    meeting.begin()
    info = info.plus("sums", *meeting.why_sums).plus(*_slice(runner, order, ranks))
    sizes = config.max_num_seqs, config.max_num_batched_tokens, config.prefill_chunk_size
    return runner, Hello.of(runner, *sizes, info.choices)


def _slice(runner: EagerRunner, order: dict[str, Any], ranks: Ranks) -> tuple[str, str, str]:
    """Who this is, what it has of the model, and how much that is."""
    shard = Shard(ranks.rank, ranks.num_ranks, read_config(Path(order["folder"])))
    mib = sum(parameter.nbytes for parameter in runner.model.parameters()) / 2**20
    return f"rank {ranks.rank}", shard.describe(), f"{mib:,.1f} MiB of weights on its device"


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as pipe:
        main(pipe, json.loads(sys.argv[2]))
    os._exit(0)
