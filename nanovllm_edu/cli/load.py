"""`nanovllm-edu load`: asks a server, and says what its users waited for.

Read next: `load/loops.py`, `load/report.py`.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nanovllm_edu.errors import WorkloadError
from nanovllm_edu.introspect.whole_file import write_whole
from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.load.arrivals import MOST_JOBS, Job, bursts, poisson, read_trace, steady
from nanovllm_edu.load.client import Target, get
from nanovllm_edu.load.loops import closed_loop, open_loop
from nanovllm_edu.load.page import run_page, summary, sweep_page, warnings
from nanovllm_edu.load.report import Report, report
from nanovllm_edu.load.sweep import sweep


def run(arguments: argparse.Namespace) -> None:
    """Makes the load, and shows what came of it."""
    slo = SLO(
        arguments.slo_ttft, arguments.slo_tpot, arguments.slo_e2e, arguments.slo_percent / 100
    )
    asyncio.run(_Load(arguments, slo).run())


class _Load:
    """One call of the command."""

    def __init__(self, arguments: argparse.Namespace, slo: SLO) -> None:
        self.arguments, self.slo = arguments, slo
        _check(arguments)
        self.job = Job(0.0, arguments.prompt_words, arguments.max_tokens)
        self.jobs = None if arguments.sweep else self._jobs(arguments.rate)
        self.target = Target(
            arguments.url,
            arguments.model or "",
            arguments.api_key or os.environ.get("NANOVLLM_API_KEY", ""),
            arguments.chat,
            arguments.timeout,
            _extra(arguments.body),
            arguments.seed,
        )

    async def run(self) -> None:
        if not self.target.model:
            self.target = await _with_model(self.target)
        # Not counted: a server's first request may pay for what later ones find warm.
        await open_loop(self.target, [self.job])
        if self.jobs is None:
            await self._sweep()
        else:
            await self._once(self.jobs)

    def _jobs(self, rate: float) -> list[Job]:
        given, job = self.arguments, self.job
        if given.trace:
            return read_trace(given.trace, job)
        count = given.requests
        if count is None:
            # The bound comes first: it is what `min` keeps if the other is no number.
            count = round(max(1.0, min(MOST_JOBS + 1, rate * given.seconds)))
        if given.burst != 1:
            times = bursts(rate, count, given.burst, given.seed)
        else:
            times = steady(rate, count) if given.steady else poisson(rate, count, given.seed)
        return [Job(at, job.prompt_words, job.max_tokens) for at in times]

    async def _measure(self, jobs: Sequence[Job], rate: float | None) -> list[Answer]:
        what = f"{rate:g} requests/s" if rate else f"{len(jobs)} requests"
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[open]} open"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        with bar:
            task = bar.add_task(what, total=len(jobs), open=0)

            def tell(sent: int, ended: int) -> None:
                bar.update(task, completed=ended, open=sent - ended)

            if self.arguments.closed:
                return await closed_loop(self.target, jobs, self.arguments.closed, tell)
            return await open_loop(self.target, jobs, tell)

    async def _once(self, jobs: list[Job]) -> None:
        given = self.arguments
        rate = None if given.closed or given.trace else given.rate
        answers = await self._measure(jobs, rate)
        found = report(answers, self.slo, rate)
        lines = [summary(found, self.slo), *_latencies(found), *warnings(found)]
        self._show(
            lines, [found], {}, run_page(answers, found, self.slo, self._asked(len(jobs), rate))
        )

    async def _sweep(self) -> None:
        given = self.arguments

        async def measure(rate: float) -> Report:
            found = report(await self._measure(self._jobs(rate), rate), self.slo, rate)
            if not given.json:
                sys.stdout.write(f"{rate:8g}/s  {summary(found, self.slo)}\n")
            return found

        found = await sweep(measure, given.rate, self.slo.share)
        ends = {"held": found.held, "broke": found.broke}
        page = sweep_page(found, self.slo, self._asked(None, None))
        self._show([f"{found.verdict}."], found.reports, ends, page)

    def _asked(self, count: int | None, rate: float | None) -> str:
        given, how = self.arguments, "as they once came"
        if given.closed:
            how = f"by {given.closed} users in a closed loop"
        elif given.sweep:
            how = f"for {given.seconds:g} s at each rate"
        elif rate:
            how = f"at {rate:g} a second"
        number = "Requests" if count is None else f"{count} requests"
        sizes = f"prompts of {given.prompt_words} words, at most {given.max_tokens} tokens each"
        return f"{number} to {self.target.model or 'the model'} at {given.url}, {how}; {sizes}."

    def _show(
        self, lines: list[str], reports: Sequence[Report], more: dict[str, Any], page: str
    ) -> None:
        if self.arguments.html:
            try:
                write_whole(self.arguments.html, page)
            except OSError as error:
                raise WorkloadError(f"the page cannot be written: {error}.") from error
        if self.arguments.json:
            data = {"slo": str(self.slo), **more, "runs": [one.to_dict() for one in reports]}
            sys.stdout.write(json.dumps(data, indent=1) + "\n")
        else:
            sys.stdout.write("\n".join(lines) + "\n")


def _check(given: argparse.Namespace) -> None:
    for name in ("closed", "prompt_words", "max_tokens"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise WorkloadError(f"{name}={value} is below 1; give at least 1.")
    if not given.timeout > 0:
        raise WorkloadError(f"timeout={given.timeout} s is no time; give more than 0.")
    if given.sweep and (given.trace or given.closed):
        raise WorkloadError("sweep needs rates to try, so --trace or --closed: not both.")


def _latencies(found: Report) -> list[str]:
    names = {"TTFT": found.first_token, "TPOT": found.per_token, "inter-token":
             found.between_tokens, "end to end": found.end_to_end}  # fmt: skip
    head = f"{'ms':12}{'mean':>10}{'p50':>10}{'p90':>10}{'p99':>10}{'max':>10}"
    return [
        head,
        *(
            f"{name:12}"
            + "".join(f"{1e3 * value:10.1f}" for value in (t.mean, t.p50, t.p90, t.p99, t.max))
            for name, t in names.items()
        ),
    ]


async def _with_model(target: Target) -> Target:
    """The target with the first model that the server lists."""
    body = await get(target, f"{target.place.path}/models")
    try:
        model = str(json.loads(body)["data"][0]["id"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise WorkloadError(f"{target.url} lists no models; name one with --model.") from error
    return Target(
        target.url, model, target.api_key, target.is_chat, target.timeout, target.extra, target.seed
    )


def _extra(text: str | None) -> dict[str, Any]:
    try:
        extra = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise WorkloadError(f"body={text!r} is no JSON: {error}") from error
    if not isinstance(extra, dict):
        raise WorkloadError(f'body={text!r} is no object; give one such as {{"ignore_eos": true}}.')
    return extra
