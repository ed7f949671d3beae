from tests.lessons.wrong_answers import wrong


class Base:
    def victim(self, candidates):
        return candidates[-1]


@wrong("06.1", "only 2 of 3 rows worked while")
class Static(Base):
    def order(self, running, waiting):
        return [running] if running else [waiting]


@wrong("06.1", "they stood still while others were computed")
class PromptsFirst(Base):
    def order(self, running, waiting):
        return [waiting, running]


@wrong("06.1", "first come, first served")
class LastComeFirstServed(Base):
    def order(self, running, waiting):
        return [[*running, *reversed(waiting)]]


@wrong("06.1", "in one group with those that run")
class RunningThenWaiting(Base):
    def order(self, running, waiting):
        return [running, waiting]


@wrong("06.1", "The engine refused")
class OnlyRunning(Base):
    def order(self, running, waiting):
        return [running]


@wrong("06.1", "return a list of groups")
class NotGroups(Base):
    def order(self, running, waiting):
        return [*running, *waiting]


@wrong("06.2", "That is the share at work")
def share_at_work(records, num_rows):
    return sum(len(record.spans) for record in records) / (len(records) * num_rows)


@wrong("06.2", "not tokens")
def counts_tokens(records, num_rows):
    return 1 - sum(record.num_tokens for record in records) / (len(records) * num_rows)


@wrong("06.2", "leaves out sequences that finished")
def counts_running(records, num_rows):
    return 1 - sum(len(record.running) for record in records) / (len(records) * num_rows)


@wrong("06.2", "not a share of them")
def counts_idle(records, num_rows):
    return sum(num_rows - len(record.spans) for record in records)


@wrong("06.1", "All 6 tokens of the step went to others: those that run come first")
class WaitingFirst(Base):
    def order(self, running, waiting):
        return [[*waiting, *running]]


@wrong("06.1", "A method of `MyPolicy` gave None")
class ForgetsToReturn(Base):
    def order(self, running, waiting):
        groups = [[*running, *waiting]]
        groups.reverse()
