from nanovllm_edu.waiting_room import WaitingRoom
from tests.lessons.wrong_answers import wrong


def seconds_of(trace):
    return max(answer.ended for answer in trace) - min(answer.wanted for answer in trace)


@wrong("16.1", "That is throughput")
def counts_every_whole_answer(trace, slo):
    return sum(answer.is_whole for answer in trace) / seconds_of(trace)


@wrong("16.1", "not how many *a second*")
def counts_and_does_not_divide(trace, slo):
    return kept(trace, slo)


@wrong("16.1", "not a rate")
def gives_the_share(trace, slo):
    return kept(trace, slo) / len(trace)


@wrong("16.1", "The time per token was promised, too.")
def looks_at_the_first_token_only(trace, slo):
    good = [a for a in trace if a.is_whole and a.first_token <= slo.first_token]
    return len(good) / seconds_of(trace)


@wrong("16.1", "until the last answer has ended")
def stops_when_the_last_user_comes(trace, slo):
    return kept(trace, slo) / max(answer.wanted for answer in trace)


@wrong("16.1", "from the first `wanted`, and that is not at 0")
def from_the_beginning_of_the_clock(trace, slo):
    return kept(trace, slo) / max(answer.ended for answer in trace)


@wrong("16.1", "just as long as promised is in time")
def wants_less_than_promised(trace, slo):
    good = [a for a in trace if a.is_whole and a.first_token < slo.first_token]
    return sum((a.per_token or 0) < slo.per_token for a in good) / seconds_of(trace)


@wrong("16.1", "An answer of one token has no time per token")
def wants_two_tokens(trace, slo):
    good = [a for a in trace if a.is_whole and a.first_token <= slo.first_token]
    timed = [a.per_token for a in good if a.per_token is not None]
    return sum(time <= slo.per_token for time in timed) / seconds_of(trace)


@wrong("16.1", "IndexError")
def forgets_that_some_got_nothing(trace, slo):
    return sum(a.first_token <= slo.first_token for a in trace) / seconds_of(trace)


@wrong("16.1", "calls the shipped `is_kept`")
def asks_the_slo(trace, slo):
    return sum(slo.is_kept(answer) for answer in trace) / seconds_of(trace)


def kept(trace, slo):
    return sum(
        a.is_whole
        and a.first_token <= slo.first_token
        and (a.per_token is None or a.per_token <= slo.per_token)
        for a in trace
    )


class After:
    """Turns away after so many seconds."""

    seconds = 0.8

    def __init__(self):
        self.came = {}

    def enter(self, guest, now):
        self.came[guest] = now

    def turn_away(self, now):
        late = [guest for guest, came in self.came.items() if now - came > self.seconds]
        for guest in late:
            del self.came[guest]
        return late


@wrong("16.2", "and 1 s is promised")
class NeverTurnsAway(After):
    seconds = 1e9


@wrong("16.2", "and 1 s is promised")
class TurnsAwayTooLate(After):
    seconds = 1.5


@wrong("16.2", "At 60% load there is room for everybody")
class TurnsAwayAtOnce(After):
    seconds = 0.001


@wrong("16.2", "who never came")
class NamesTimes(After):
    def turn_away(self, now):
        return list(self.came.values())


@wrong("16.2", "The class has no method turn_away()")
class HasNoDoor:
    def enter(self, guest, now): ...


@wrong("16.2", "calls the shipped `enter`")
class AsksTheShippedRoom:
    def __init__(self):
        self.room = WaitingRoom(0.8)

    def enter(self, guest, now):
        self.room.enter(guest, now)

    def turn_away(self, now):
        return list(self.room.overdue(now))
