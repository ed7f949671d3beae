"""Crowds of users for a server on a simulated clock, and what each of them saw.

    served = serve_crowd(rate=20)                 20 requests a second come, ready or not
    served = serve_crowd(users=8)                 8 users, each asks when the last answer is here
    report(answers(served), SLO(1.0, None))       the figures of `nanovllm-edu load`

The server is the real engine with 8 rows, against the clock of `clock.py`; it can do some 25
requests a second.

Read next: `lesson_16.py`.
"""

from random import Random
from typing import Any

from nanovllm_edu.lessons.checks import checksum_engine
from nanovllm_edu.lessons.clock import Arrival, Room, Served, serve
from nanovllm_edu.load.answer import Answer
from nanovllm_edu.load.arrivals import poisson

SECONDS = 12.0
"""So long users come."""


DOCUMENT = 700
"""Tokens of a long prompt."""


def arrivals(
    rate: float, seconds: float = SECONDS, seed: int = 0, document_every: int | None = None
) -> list[Arrival]:
    """Requests as a Poisson process: prompts of 20 to 100 tokens, answers of 10 to 40.

    With `document_every=20`, each twentieth prompt is a document.
    """
    random = Random(seed)

    def prompt(index: int) -> list[int]:
        is_document = document_every and index % document_every == document_every - 1
        length = DOCUMENT if is_document else random.randint(20, 100)
        return [random.randrange(1000) for _ in range(length)]

    times = poisson(rate, max(round(rate * seconds), 1), seed)
    return [
        Arrival(1e3 * at, prompt(index), random.randint(10, 40)) for index, at in enumerate(times)
    ]


def serve_crowd(
    rate: float = 20.0,
    *,
    users: int | None = None,
    room: Room | None = None,
    seconds: float = SECONDS,
    seed: int = 0,
    document_every: int | None = None,
    **options: Any,
) -> Served:
    """Lets a crowd at the server.

    Args:
        rate: Requests a second; with `users`, only how many there are.
        users: A closed loop of so many users, instead of an open one.
        room: Turns away who waits too long; by default nobody is.
        seconds: How long they come.
        seed: Of the arrivals and the prompts.
        document_every: Each prompt of that number is a document.
        **options: Of the engine.
    """
    options = {"max_num_seqs": 8, "max_num_batched_tokens": 256} | options
    engine = checksum_engine(512, 16, **options)
    crowd = arrivals(rate, seconds, seed, document_every)
    return serve(engine, crowd, max_steps=20_000, room=room, users=users)


def answers(served: Served) -> list[Answer]:
    """What each user saw, in seconds; who was turned away has no pieces, and an error."""
    seen: list[Answer] = []
    for seq_id, at_ms in served.arrived_ms.items():
        wanted, times = at_ms / 1e3, served.token_ms.get(seq_id, [])
        pieces = tuple(time / 1e3 for time in times)
        error = "" if pieces else "turned away"
        ended = pieces[-1] if pieces else wanted
        seen.append(Answer(wanted, wanted, pieces, ended, len(pieces), 200, error))
    return seen
