"""Many clients, many of whom leave: does a server lose anything?

    python benchmarks/serve_soak.py                 5,000 requests on 64 connections
    python benchmarks/serve_soak.py --requests 500

Each connection sends one request after the other to a server in this process, whose model is a
checksum: streams and whole answers, prompts that share beginnings, good ones and bad ones. Every
third client hangs up: at once, after some tokens, or in the middle of its own request. In the end
each finished answer must hold the right tokens, and blocks, rows, tasks and open streams must be
back at zero, with memory where it was. It talks to 127.0.0.1 only.
"""

import argparse
import asyncio
import gc
import json
import random
import resource
import time
from collections import Counter
from typing import Any

from nanovllm_edu.async_llm import AsyncLLM
from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.detokenizer import Decoder
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.llm import LLM
from nanovllm_edu.runners.checksum import ChecksumRunner, expected_tokens
from nanovllm_edu.serve.address import Address
from nanovllm_edu.serve.app import Served
from nanovllm_edu.serve.gatekeeper import Rules
from nanovllm_edu.serve.server import ServerThread

HEAD = (
    "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    "Content-Type: application/json\r\n"
)


class Letters(Decoder):
    """A tokenizer with one token per character."""

    eos_token_ids: frozenset[int] = frozenset()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        return "".join(chr(0x4E00 + token_id) for token_id in token_ids)

    def pieces(self, token_ids: list[int]) -> list[str]:
        return [self.decode([token_id]) for token_id in token_ids]


def checksum_llm(num_blocks: int = 256) -> LLM:
    """An LLM without weights: what it says is a checksum of what it read."""
    llm = LLM.__new__(LLM)
    llm.tokenizer = Letters()  # type: ignore[assignment]
    runner = ChecksumRunner(num_blocks, 4)
    config = EngineConfig(block_size=4, num_blocks=num_blocks, max_num_seqs=16)
    llm.engine = LLMEngine(runner, config, llm.tokenizer)
    llm.default_sampling_params = SamplingParams(temperature=0)
    llm._interrupted, llm.depth = None, 0
    return llm


class Crowd:
    """The clients of one server.

    Attributes:
        counts: What became of their requests.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.host, self.port = url.removeprefix("http://").split(":")
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()

    async def run(self, num_requests: int, num_connections: int, seconds: float) -> None:
        """So many requests, or as many as come in so many seconds."""
        left, end = iter(range(num_requests)), time.monotonic() + seconds

        async def client() -> None:
            while time.monotonic() < end and next(left, None) is not None:
                async with asyncio.timeout(60):
                    await self.ask()

        async with asyncio.TaskGroup() as group:
            for _ in range(num_connections):
                group.create_task(client())

    async def ask(self) -> None:
        """One request, to its end or not."""
        prompt = [7, 8, 9, 10] * self.random.randrange(3)
        prompt += [self.random.randrange(1000) for _ in range(self.random.randrange(1, 12))]
        num_tokens, streams = self.random.randrange(1, 40), self.random.random() < 0.7
        body: dict[str, Any] = {"prompt": prompt, "max_tokens": num_tokens, "stream": streams}
        if self.random.random() < 0.05:
            body["temperature"] = -1
        reader, writer = await asyncio.open_connection(self.host, int(self.port))
        try:
            data = json.dumps(body).encode()
            head = f"{HEAD}Content-Length: {len(data)}\r\n\r\n"
            how = self.random.choice(["stay"] * 8 + ["at once", "half", "some", "some"])
            if how == "half":
                writer.write(head.encode() + data[: len(data) // 2])
                await writer.drain()
                self.counts["hung up"] += 1
                return
            writer.write(head.encode() + data)
            await writer.drain()
            if how == "at once":
                self.counts["hung up"] += 1
                return
            if how == "some":
                await reader.read(self.random.randrange(1, 2000))
                self.counts["hung up"] += 1
                return
            answer = (await reader.read()).decode()
            self.counts[self.judge(answer, body)] += 1
        finally:
            writer.close()

    def judge(self, answer: str, body: dict[str, Any]) -> str:
        """Whether the answer is what it must be."""
        status = answer[9:12]
        if "temperature" in body:
            assert status == "400", answer
            return "refused"
        if status == "429":
            return "too busy"
        assert status == "200", answer
        text = _text_of(answer, streams=body["stream"])
        params = SamplingParams(temperature=0, max_tokens=body["max_tokens"])
        right = expected_tokens(body["prompt"], params, 0)
        assert [ord(letter) - 0x4E00 for letter in text] == right, (body, answer)
        return "answered"


def _text_of(answer: str, *, streams: bool) -> str:
    _, _, rest = answer.partition("\r\n\r\n")
    if not streams:
        return json.loads(rest)["choices"][0]["text"]
    lines = [line[6:] for line in rest.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]", answer
    return "".join(json.loads(line)["choices"][0]["text"] for line in lines[:-1])


async def is_empty(served: Served, server: ServerThread, seconds: float = 10.0) -> None:
    """Waits until nothing is left, and fails if something is."""
    engine, end = served.llm.llm.engine, time.monotonic() + seconds
    manager = engine.scheduler.block_manager

    def left() -> dict[str, int]:
        return {
            "unfinished": served.llm.num_unfinished,
            "running": len(engine.scheduler.running),
            "waiting": len(engine.scheduler.waiting),
            "blocks": manager.num_blocks - manager.num_free_blocks,
            "rows": engine.config.max_num_seqs - len(engine.scheduler.queues.free_rows),
            "tasks": len(server.server.server_state.tasks),
            "connections": len(server.server.server_state.connections),
        }

    while any(left().values()):
        assert time.monotonic() < end, left()
        await asyncio.sleep(0.01)
    with engine.exclusive():
        engine.scheduler.check_invariants()


def memory() -> float:
    """MiB that this process holds now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def soak(num_requests: int, num_connections: int, seconds: float, seed: int = 0) -> dict[str, Any]:
    """Runs the crowd in five parts and looks after each."""
    with AsyncLLM(checksum_llm()) as llm:
        served = Served(llm, "checksum", Rules())
        with ServerThread(served, Address(port=0)) as server:
            crowd, sizes = Crowd(server.url, seed), []
            begin = time.monotonic()
            for _ in range(5):
                asyncio.run(
                    _part(crowd, served, server, num_requests // 5, num_connections, seconds / 5)
                )
                gc.collect()
                sizes.append(round(memory(), 1))
            took = time.monotonic() - begin
        metrics = llm.metrics()
    assert metrics.num_failed_steps == 0
    ended = {"aborted": metrics.num_finished["abort"], "finished": metrics.num_finished["length"]}
    return {"seconds": round(took, 1), **crowd.counts, "MiB after each part": sizes, **ended}


async def _part(
    crowd: Crowd, served: Served, server: ServerThread, num: int, connections: int, seconds: float
) -> None:
    await crowd.run(num, connections, seconds)
    await is_empty(served, server)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=600.0, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(
        json.dumps(
            soak(arguments.requests, arguments.connections, arguments.seconds, arguments.seed)
        )
    )


if __name__ == "__main__":
    main()
