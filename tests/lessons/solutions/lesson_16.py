"""Solutions of lesson 16, a server under load."""


def goodput(trace, slo):
    """Requests a second that were answered as promised."""
    kept = 0
    for answer in trace:
        if not answer.is_whole or answer.first_token > slo.first_token:
            continue
        kept += answer.per_token is None or answer.per_token <= slo.per_token
    seconds = max(answer.ended for answer in trace) - min(answer.wanted for answer in trace)
    return kept / seconds


class Doorkeeper:
    """Turns away who has waited for 0.8 s."""

    def __init__(self):
        self.came = {}

    def enter(self, guest, now):
        self.came[guest] = now

    def turn_away(self, now):
        late = [guest for guest, came in self.came.items() if now - came > 0.8]
        for guest in late:
            del self.came[guest]
        return late
