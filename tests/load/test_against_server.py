"""The generator and the server's own metrics tell the same."""

import asyncio
import re
import time
from typing import Any

import pytest

from nanovllm_edu.load.answer import SLO
from nanovllm_edu.load.arrivals import Job, steady
from nanovllm_edu.load.client import Target, get
from nanovllm_edu.load.loops import open_loop
from nanovllm_edu.load.report import Report, report
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.serve.servers import serving

STEP = 0.04


class SteadyRunner(ChecksumRunner):
    """Each step takes its time, so that what comes beside it is small."""

    def launch(self, plan: Any) -> Any:
        time.sleep(STEP)
        return super().launch(plan)


def means(text: str) -> dict[str, float]:
    """Name -> mean, of each histogram of a page of metrics."""
    sums = dict(re.findall(r"^nanovllm_(\w+)_seconds_sum (\S+)$", text, re.MULTILINE))
    counts = dict(re.findall(r"^nanovllm_(\w+)_seconds_count (\S+)$", text, re.MULTILINE))
    return {name: float(sums[name]) / float(counts[name]) for name in sums if float(counts[name])}


def both() -> tuple[Report, dict[str, float]]:
    async def main(url: str) -> tuple[Report, dict[str, float]]:
        target = Target(f"{url}/v1", "tiny", extra={"temperature": 0})
        jobs = [Job(at, prompt="Once", max_tokens=8) for at in steady(40.0, 24)]
        answers = await open_loop(target, jobs)
        return report(answers, SLO()), means((await get(target, "/metrics")).decode())

    runner = SteadyRunner(64, 4)
    with serving(runner=runner, num_blocks=64, max_num_seqs=4) as server:
        return asyncio.run(main(server.url))


def apart(found: Report, server: dict[str, float]) -> dict[str, float]:
    """By which part of the server's figure the generator's differs."""
    pairs = {
        "time_to_first_token": found.first_token.mean,
        "inter_token": found.between_tokens.mean,
        "time_per_output_token": found.per_token.mean,
        "end_to_end": found.end_to_end.mean,
    }
    return {name: abs(ours / server[name] - 1) for name, ours in pairs.items()}


def test_its_figures_agree_with_the_servers_to_3_percent():
    """Four places and 24 requests: most of each time is waiting. A busy machine gets six
    attempts.
    """
    for _ in range(6):
        found, server = both()
        assert found.num_whole == 24
        assert found.num_tokens == 24 * 8
        differences = apart(found, server)
        if max(differences.values()) <= 0.03:
            return
    pytest.fail(str(differences))
