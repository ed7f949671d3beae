"""Two kinds of crowds.

    open loop     users come when they want; each is timed from that moment
    closed loop   so many users, each of whom asks again when the last answer is here

A closed loop cannot overload a server: a slow one is simply asked less often, and the requests that
would have had to wait are never made. Its latencies look well at any capacity. It is here to be
compared with; for what users feel, take the open one.

Read next: `load/report.py`.
"""

import asyncio
from collections.abc import Callable, Sequence

from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.errors import WorkloadError, listed, of_type, shown
from nanovllm_edu.load.answer import Answer
from nanovllm_edu.load.arrivals import Job
from nanovllm_edu.load.client import Heard, Target, ask, hear

Tell = Callable[[int, int], None]
"""Is told how many requests were sent, and how many have ended."""


def _nobody(sent: int, ended: int) -> None:
    """Who wants to know nothing."""


def _checked(target: Target, jobs: Sequence[Job]) -> list[Job]:
    of_type(target, Target, "target", "give one: Target(url)", WorkloadError)
    jobs = listed(jobs, "jobs", WorkloadError)
    for job in jobs:
        of_type(job, Job, "job", "give one: Job(at)", WorkloadError)
    return jobs


async def open_loop(target: Target, jobs: Sequence[Job], tell: Tell = _nobody) -> list[Answer]:
    """Sends each request at its time, whatever became of those before it.

    Args:
        target: Whom to ask.
        jobs: In order of time.
        tell: Is told of progress.

    Returns:
        An answer for each job, in order.

    Raises:
        WorkloadError: That is no target, or these are no jobs.
    """
    jobs = _checked(target, jobs)
    now = asyncio.get_running_loop().time
    begin, tasks, num_ended = now(), list[asyncio.Task[Answer]](), 0

    def ended(_: object) -> None:
        nonlocal num_ended
        num_ended += 1
        tell(len(tasks), num_ended)

    async with asyncio.TaskGroup() as group:
        for index, job in enumerate(jobs):
            if (seconds := begin + job.at - now()) > 0:
                await asyncio.sleep(seconds)
            task = group.create_task(ask(target, job, index, begin, job.at))
            tasks.append(task)
            task.add_done_callback(ended)
            tell(len(tasks), num_ended)
    return [task.result() for task in tasks]


async def closed_loop(
    target: Target, jobs: Sequence[Job], users: int, tell: Tell = _nobody
) -> list[Answer]:
    """Lets `users` ask one after the other; when a job should have come is not looked at.

    Answers of a full batch end together. Whoever has one asks again at once, and it is read
    afterwards: else the last of these users would wait for the generator, not for the server.

    Raises:
        WorkloadError: That is no target, these are no jobs, or so many users cannot be.
    """
    jobs = _checked(target, jobs)
    if (as_integer(users) or 0) < 1:
        raise WorkloadError(f"users={shown(users)} is not an integer from 1 on.")
    loop = asyncio.get_running_loop()
    now = loop.time
    begin, left, answers = now(), iter(enumerate(jobs)), list[Answer]()

    def read(heard: Heard) -> None:
        answers.append(heard.answer())
        tell(min(len(answers) + users, len(jobs)), len(answers))

    async def user() -> None:
        for index, job in left:
            loop.call_soon(read, await hear(target, job, index, begin, now() - begin))

    async with asyncio.TaskGroup() as group:
        for _ in range(users):
            group.create_task(user())
    await asyncio.sleep(0)  # the last ones are read
    return sorted(answers, key=lambda answer: answer.wanted)
