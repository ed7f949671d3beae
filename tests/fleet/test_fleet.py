"""A fleet of servers in this process, whose model is a checksum."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from nanovllm_edu.cluster import LeastTokens, PrefixAffinity, RoundRobin
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.errors import (
    ConfigError,
    OverloadedError,
    RequestError,
    RoutingError,
    StepFailedError,
    WorkloadError,
)
from nanovllm_edu.fleet import Fleet, Reply
from nanovllm_edu.load.client import Target
from tests.engine.faulty_runner import FaultyRunner
from tests.proof.small_llm import right
from tests.serve.servers import serving

FEW = SamplingParams(max_tokens=4, temperature=0)
NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture
def urls() -> Iterator[list[str]]:
    """Two servers."""
    with ExitStack() as stack:
        yield [f"{stack.enter_context(serving(num_blocks=64)).url}/v1" for _ in range(2)]


def request(first: int = 1, **others: Any) -> dict[str, Any]:
    prompt = [first, 2, 3]
    return {"model": "tiny", "prompt": prompt, "max_tokens": 4, "temperature": 0, **others}


def asked(fleet: Fleet, *bodies: dict[str, Any]) -> list[Reply]:
    """All at the same time, and the fleet is closed."""

    async def ask() -> list[Reply]:
        async with fleet:
            return await asyncio.gather(*map(fleet.ask, bodies))

    return asyncio.run(ask())


def test_answers_are_the_servers_own_and_both_give_some(urls: list[str]):
    replies = asked(Fleet(urls, RoundRobin()), *map(request, range(1, 9)))
    texts = [reply.body["choices"][0]["text"] for reply in replies]
    assert texts == ["".join(map(chr, right([i, 2, 3], FEW))) for i in range(1, 9)]
    assert [reply.replica for reply in replies] == [0, 1] * 4
    assert all(reply.num_tries == 1 for reply in replies)


def test_a_server_that_is_not_there_costs_a_try_and_is_not_asked_again(urls: list[str]):
    fleet = Fleet([NOBODY, *urls], RoundRobin())
    first = asked(fleet, request())
    assert first[0].num_tries == 2 and first[0].replica == 1
    assert repr(fleet) == "Fleet(2 of 3 servers take requests)"
    assert [reply.num_tries for reply in asked(fleet, *map(request, range(4)))] == [1] * 4


def test_loads_count_what_is_under_way_and_nothing_else(urls: list[str]):
    seen = []

    def route(prompt, loads, index):
        seen.append([load.num_requests for load in loads])
        return LeastTokens().route(prompt, loads, index)

    fleet = Fleet(urls, route)
    asked(fleet, request(1), request(2), request(3))
    assert seen == [[0, 0], [1, 0], [1, 1]]
    assert [replica.load[1:] for replica in fleet.replicas] == [(0, 0), (0, 0)]


def test_a_prompt_that_is_known_goes_where_it_is_known(urls: list[str]):
    prompt = "You are a helpful assistant. " * 8
    body = {"model": "tiny", "max_tokens": 2}
    bodies = [{**body, "prompt": "x" * 100}, {**body, "prompt": prompt}]

    async def ask() -> tuple[list[Reply], Reply]:
        async with Fleet(urls, PrefixAffinity()) as fleet:
            first = await asyncio.gather(*map(fleet.ask, bodies))
            return first, await fleet.ask({**body, "prompt": f"{prompt}What is it?"})

    (_, known), again = asyncio.run(ask())
    assert again.replica == known.replica == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "has not one of prompt and messages"),
        ("Once", "has not one of"),
        ({"prompt": [1], "messages": []}, "has not one of"),
        ({"prompt": [1], "stream": True}, "whole answers"),
        ({"prompt": {1, 2}}, "is no JSON"),
        (request(max_tokens=-1), "status 400"),
        (request(model="another"), "status 404"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_and_tried_nowhere_else(urls, body, said: str):
    fleet = Fleet(urls, RoundRobin())
    with pytest.raises(RequestError, match=said):
        asked(fleet, body)
    assert all(replica.takes_requests for replica in fleet.replicas)


def test_a_step_that_failed_is_an_error_of_its_request():
    runner = FaultyRunner(16, 4)
    runner.fail(in_launch=[1])
    with serving(runner=runner) as server, pytest.raises(StepFailedError, match="status 500"):
        asked(Fleet([f"{server.url}/v1"], RoundRobin()), request())


def test_a_key_is_sent(urls: list[str]):
    with serving(keys=("secret",)) as server:
        target = Target(f"{server.url}/v1", api_key="secret")
        assert asked(Fleet([target], RoundRobin()), request())[0].num_tries == 1
        with pytest.raises(RequestError, match="status 401"):
            asked(Fleet([f"{server.url}/v1"], RoundRobin()), request())


def test_when_nobody_is_there_one_waits_as_long_as_ones_patience():
    with pytest.raises(OverloadedError, match="none of 1 servers took the request within"):
        asked(Fleet([NOBODY], RoundRobin(), patience=0.1), request())


def test_a_server_that_is_about_to_end_gets_nothing_new(urls: list[str]):
    with serving() as ending:
        ending.server.served.is_draining = True
        fleet = Fleet([f"{ending.url}/v1", *urls], lambda prompt, loads, index: loads[0].replica)
        assert [reply.replica for reply in asked(fleet, request(), request())] == [1, 1]


def test_one_that_is_well_again_is_asked_again():
    with serving() as server:
        server.server.served.is_draining = True
        fleet = Fleet([f"{server.url}/v1"], RoundRobin(), check_seconds=0.02)

        async def ask() -> Reply:
            async with fleet:
                waiting = asyncio.create_task(fleet.ask(request()))
                await asyncio.sleep(0.2)
                server.server.served.is_draining = False
                return await waiting

        assert asyncio.run(ask()).num_tries == 2


@pytest.mark.parametrize("seconds", ["1", -1, None, float("nan"), True])
@pytest.mark.parametrize("name", ["patience", "check_seconds"])
def test_times_are_numbers_of_seconds(name, seconds):
    with pytest.raises(ConfigError, match=f"{name}=.* is not a number of seconds"):
        Fleet(["http://127.0.0.1:1"], RoundRobin(), **{name: seconds})


@pytest.mark.parametrize("targets", [[], 5, [5], [None], "http://127.0.0.1:8000/v1"])
def test_a_fleet_has_a_list_of_servers(targets):
    with pytest.raises(ConfigError, match="no list of servers"):
        Fleet(targets, RoundRobin())
    with pytest.raises(WorkloadError, match="is not like http"):
        Fleet(["ftp://nowhere"], RoundRobin())


def test_a_router_is_checked_as_in_a_cluster(urls: list[str]):
    with pytest.raises(ConfigError, match="neither an object with route"):
        Fleet(urls, RoundRobin)
    with pytest.raises(RoutingError, match=r"take requests are \[0, 1\]"):
        asked(Fleet(urls, lambda *_: None), request())
