"""Exercises of lesson 16, a server under load: count what was of use, and turn away in time."""

from collections.abc import Callable, Hashable
from math import isclose
from random import Random
from typing import Any

from nanovllm_edu.lessons.checks import members, number, plain, require
from nanovllm_edu.lessons.clock import Served
from nanovllm_edu.lessons.crowds import answers, serve_crowd
from nanovllm_edu.lessons.exercise import Exercise
from nanovllm_edu.lessons.shown import shown
from nanovllm_edu.load.answer import SLO, Answer
from nanovllm_edu.load.report import Report, report
from nanovllm_edu.waiting_room import WaitingRoom

# ------------------------------------------------------------------------ 16.1 goodput

Goodput = Callable[[list[Answer], SLO], Any]


def _answer(wanted: float, pieces: tuple[float, ...], error: str = "") -> Answer:
    ended = pieces[-1] if pieces else wanted + 0.25
    return Answer(wanted, wanted, pieces, ended, len(pieces), 200, error)


ROUNDING = 1e-6
"""Of a figure; with numbers of 32 bits it is a tenth of this."""

BY_HAND = [
    _answer(0.0, (0.5, 0.75, 1.0)),
    _answer(0.5, (2.0, 2.25)),  # its first token is late
    _answer(1.0, (2.5, 2.75, 3.0)),  # and this one's
    _answer(2.0, (2.5, 3.5, 4.5)),  # its tokens are slow
    _answer(3.0, (3.5,)),  # one token: there is no time between tokens
    _answer(3.5, (3.75, 4.0), "cut off"),
    _answer(4.0, (), "503 overloaded"),
]
"""Seven users; with `SLO(1.0, 0.5)` two of them got what they were promised."""


def _random_trace(random: Random) -> tuple[list[Answer], SLO]:
    trace: list[Answer] = []
    begin = random.randint(1, 8)  # nobody says that the clock begins with the first user
    for index in range(30):
        wanted, first = begin + index * 0.25, random.choice((0.25, 0.5, 1.0, 2.0))
        gap, count = random.choice((0.125, 0.25, 0.5)), random.randint(0, 5)
        pieces = tuple(wanted + first + gap * i for i in range(count))
        trace.append(_answer(wanted, pieces, "" if pieces else "503 overloaded"))
    return trace, SLO(random.choice((0.5, 1.0)), random.choice((0.125, 0.25)))


def _check_goodput(goodput: Goodput, random: Random) -> str:
    cases = [("the seven users", BY_HAND, SLO(1.0, 0.5))]
    cases += [(f"crowd {n}", *_random_trace(random)) for n in range(1, 4)]
    for name, trace, slo in cases:
        got = number(goodput(list(trace), slo), f"goodput of {name}")
        want = report(trace, slo)
        require(
            isclose(got, want.goodput, rel_tol=ROUNDING),
            f"Of {name}, {want.num_kept} of {want.num_requests} were served as promised (a first "
            f"token within {slo.first_token:g} s, {slo.per_token:g} s per token) in "
            f"{want.seconds:g} s: {want.goodput:.3f} a second; you gave {shown(got)}. "
            + _what_it_is(got, trace, slo, want),
        )
    return f"{len(cases)} crowds: late, slow, cut off or turned away is of use to nobody."


def _what_it_is(got: float, trace: list[Answer], slo: SLO, want: Report) -> str:
    """What a wrong figure is, if it is a well-known one."""
    last_wanted = max(answer.wanted for answer in trace)
    last_ended = max(answer.ended for answer in trace)
    kept = [answer for answer in trace if slo.is_kept(answer)]
    first, each = slo.first_token or 0.0, slo.per_token or 0.0
    num_early = sum(a.first_token < first and (a.per_token or 0.0) < each for a in kept)
    num_of_several = sum(answer.per_token is not None for answer in kept)
    known = {
        num_early / want.seconds: "What takes just as long as promised is in time.",
        num_of_several / want.seconds: "An answer of one token has no time per token to be late.",
        want.requests_per_second: "That is throughput: it counts whole answers, in time or not.",
        float(want.num_kept): "That is how many, not how many *a second*.",
        want.share_kept: "That is the share of the requests, not a rate.",
        report(trace, SLO(slo.first_token, None)).goodput: "The time per token was promised, too.",
        report(trace, SLO(None, slo.per_token)).goodput: "The first token was promised, too.",
        want.num_kept / last_wanted: "The time runs until the last answer has ended.",
        want.num_kept / last_ended: "The time runs from the first `wanted`, and that is not at 0.",
    }
    near = (text for value, text in known.items() if isclose(got, value, rel_tol=ROUNDING))
    return next(near, "")


GOODPUT = Exercise(
    "16.1",
    "Goodput",
    "goodput",
    "easy",
    (
        "Go through the answers. Which three things can be wrong with one?",
        "Skip what is not answer.is_whole. Then compare answer.first_token with slo.first_token, "
        "and answer.per_token (it may be None) with slo.per_token. Divide the count by the time "
        "from the first answer.wanted to the last answer.ended.",
        "kept = [a for a in trace if a.is_whole and a.first_token <= slo.first_token and "
        "(a.per_token is None or a.per_token <= slo.per_token)]; return len(kept) / "
        "(max(a.ended for a in trace) - min(a.wanted for a in trace))",
    ),
    _check_goodput,
    shipped=(report, SLO.is_kept),
)

# --------------------------------------------------------------------- 16.2 turn away

CAPACITY = 24.0
"""Requests a second that the server of `crowds.py` can do."""
PROMISED = 1.0
"""Seconds to the first token that 99 of 100 of the served are promised."""
CROWD_SECONDS = 4.0


class _Door:
    """The learner's object as a room of `clock.py`: what it answers is looked at."""

    def __init__(self, doorkeeper: Any) -> None:
        self._mine, self._came = doorkeeper, set[Hashable]()

    def enter(self, guest: int, now: float) -> None:
        self._came.add(guest)
        self._mine.enter(guest, now)

    def overdue(self, now: float) -> list[int]:
        named = members(self._mine.turn_away(now), "What turn_away() returns")
        found = [plain(guest) for guest in named]
        for guest in found:
            require(
                isinstance(guest, Hashable) and guest in self._came,
                f"turn_away() names {shown(guest)}, who never came. Return guests as they were "
                "given to enter().",
            )
        return found


def _at(load: float, doorkeeper: Any, seed: int) -> tuple[Served, Report]:
    served = serve_crowd(load * CAPACITY, room=_Door(doorkeeper), seconds=CROWD_SECONDS, seed=seed)
    return served, report(answers(served), SLO(PROMISED, None))


def _check_doorkeeper(doorkeeper_class: Callable[[], Any], random: Random) -> str:
    require(
        isinstance(doorkeeper_class, type),
        f"Give the class itself, not an object of it: {shown(doorkeeper_class)}.",
    )
    for method in ("enter", "turn_away"):
        require(
            callable(getattr(doorkeeper_class, method, None)),
            f"The class has no method {method}(). A doorkeeper needs enter() and turn_away().",
        )
    _, calm = _at(0.6, doorkeeper_class(), 1)
    require(
        calm.num_whole >= 0.98 * calm.num_requests,
        f"At 60% load there is room for everybody, and {calm.num_requests - calm.num_whole} of "
        f"{calm.num_requests} were turned away.",
    )
    for seed in (2, random.randrange(1000)):
        _, busy = _at(2.0, doorkeeper_class(), seed)
        require(busy.num_whole > 0, "At twice the capacity everybody was turned away.")
        require(
            busy.first_token.p99 <= PROMISED,
            f"At twice the capacity the p99 of the time to first token is "
            f"{busy.first_token.p99:.2f} s, and {PROMISED:g} s is promised: "
            f"{busy.num_whole} were served and {busy.num_requests - busy.num_whole} turned away. "
            "Whoever has waited too long to be served in time should go.",
        )
        require(
            busy.goodput >= 0.85 * CAPACITY,
            f"At twice the capacity {busy.goodput:.1f} requests/s are served as promised; the "
            f"server can do {CAPACITY:g}. You turn away so many that it is idle now and then.",
        )
    return (
        f"At twice the capacity {busy.goodput:.1f} requests/s are served as promised, p99 "
        f"{busy.first_token.p99:.2f} s; at 60% load nobody need go."
    )


DOORKEEPER = Exercise(
    "16.2",
    "Turn away in time",
    "Doorkeeper",
    "medium",
    (
        "Who waits costs nothing until it begins. When is it too late for it to begin?",
        "Remember in enter() when each guest came. turn_away() returns those who came more than, "
        "say, 0.8 s ago. Whoever has begun meanwhile stays, even if you name them.",
        "self.came[guest] = now in enter(); in turn_away(): late = [g for g, t in "
        "self.came.items() if now - t > 0.8]; forget them with self.came.pop(g); return late.",
    ),
    _check_doorkeeper,
    shipped=(WaitingRoom.enter, WaitingRoom.overdue),
)

EXERCISES = (GOODPUT, DOORKEEPER)
