"""A fleet of real servers, each a process of its own, one of which is killed in the middle."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.cluster import LeastTokens
from nanovllm_edu.fleet import Fleet, Reply

ROOT = Path(__file__).parents[2]
NUM_REQUESTS = 48


@contextmanager
def process(port: str = "0") -> Iterator[tuple[subprocess.Popen, str]]:
    """`nanovllm-edu serve` as a shell starts it, and its URL."""
    command = [sys.executable, "-m", "nanovllm_edu", "serve", "--port", port, "--device", "cpu"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            told = next(line for line in server.stderr if "serving at" in line)
            found = re.search(r"http://\S+/v1", told)
            assert found is not None
            yield server, found[0]
        finally:
            server.kill()


def body(number: int) -> dict:
    prompt = f"What is {number} and {number}?"
    return {"model": "tiny", "prompt": prompt, "max_tokens": 32, "temperature": 0}


async def serve_all(urls: list[str], victim: subprocess.Popen) -> tuple[list[Reply], Fleet, int]:
    """Asks everything; kills a server that has work, and returns how many it had answered."""
    async with Fleet(urls, LeastTokens(), check_seconds=0.1) as fleet:
        tasks = [asyncio.create_task(fleet.ask(body(i))) for i in range(NUM_REQUESTS)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        while not fleet.replicas[0].num_requests:
            await asyncio.sleep(0)
        num_under_way = fleet.replicas[0].num_requests
        victim.kill()
        replies = await asyncio.gather(*tasks)
        return replies, fleet, num_under_way


def test_a_server_that_is_killed_loses_nothing_and_doubles_nothing():
    with process() as (first, first_url), process() as (_, second_url):
        answers = asyncio.run(serve_all([first_url, second_url], first))
    replies, fleet, num_under_way = answers
    retried = [reply for reply in replies if reply.num_tries == 2]
    assert 0 < len(retried) <= num_under_way  # an answer may have left it as it was killed
    assert {reply.replica for reply in retried} == {1}
    assert len({reply.body["id"] for reply in replies}) == NUM_REQUESTS
    assert not fleet.replicas[0].takes_requests
    with LLM(device="cpu") as llm:
        prompts = [body(i)["prompt"] for i in range(NUM_REQUESTS)]
        params = SamplingParams(max_tokens=32, temperature=0)
        outputs = llm.generate(prompts, params, use_tqdm=False)
    texts = [reply.body["choices"][0]["text"] for reply in replies]
    assert texts == [output.text for output in outputs]


def test_a_server_that_comes_back_is_asked_again():
    with process() as (_, url):
        port = url.rpartition(":")[2].removesuffix("/v1")

    async def scene() -> list[Reply]:
        async with Fleet([url], LeastTokens(), check_seconds=0.1) as fleet:
            waiting = [asyncio.create_task(fleet.ask(body(i))) for i in range(3)]
            await asyncio.sleep(0.3)
            assert not any(task.done() for task in waiting)
            starting = process(port)
            await asyncio.to_thread(starting.__enter__)
            try:
                return await asyncio.gather(*waiting)
            finally:
                starting.__exit__(None, None, None)

    assert [reply.num_tries for reply in asyncio.run(scene())] == [2, 2, 2]
