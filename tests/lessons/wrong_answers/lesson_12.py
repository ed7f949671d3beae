import random

from nanovllm_edu import MixedPolicy
from tests.lessons.wrong_answers import wrong


def decoding_first(running):
    return sorted(running, key=lambda seq: not seq.is_decoding)


@wrong("12.1", "Return a list of *groups*")
class FlatList(MixedPolicy):
    def order(self, running, waiting):
        return [*running, *sorted(waiting, key=lambda seq: len(seq.token_ids))]


@wrong("12.1", "is running, and your order leaves it out")
class ForgetsRunning(MixedPolicy):
    def order(self, running, waiting):
        return [sorted(waiting, key=lambda seq: len(seq.token_ids))]


@wrong("12.1", "you admit them in the order [120, 50, 20, 5]")
class LongestFirst(MixedPolicy):
    def order(self, running, waiting):
        ranked = sorted(waiting, key=lambda seq: len(seq.token_ids), reverse=True)
        return [[*decoding_first(running), *ranked]]


@wrong("12.1", "put them first, or everybody's next token waits for a prompt")
class SortsEverybodyByLength(MixedPolicy):
    def order(self, running, waiting):
        return [sorted([*running, *waiting], key=lambda seq: len(seq.token_ids))]


@wrong("12.1", "The class has no method victim()")
class NoVictim:
    def order(self, running, waiting):
        return [[*running, *waiting]]


@wrong("12.2", "later requests overtake it")
class StillStarves(MixedPolicy):
    def order(self, running, waiting):
        ranked = sorted(waiting, key=lambda seq: seq.num_remaining_tokens)
        return [[*decoding_first(running), *ranked]]


@wrong("12.2", "short prompts must still go first most of the time")
class FirstComeFirstServed(MixedPolicy):
    pass


@wrong("12.2", "later requests overtake it")
class BonusWithTheWrongSign(MixedPolicy):
    def __init__(self):
        self.steps = {}

    def order(self, running, waiting):
        for seq in waiting:
            self.steps[seq.seq_id] = self.steps.get(seq.seq_id, 0) + 1
        rank = {seq: len(seq.token_ids) + 10 * self.steps[seq.seq_id] for seq in waiting}
        return [[*decoding_first(running), *sorted(waiting, key=rank.get)]]


@wrong("12.2", "and your order leaves it out")
class OnlyTheOldest(MixedPolicy):
    def order(self, running, waiting):
        return [[*decoding_first(running), *waiting[:1]]]


@wrong("12.3", "whom you do not admit, you need not preempt")
class AnotherVictim(MixedPolicy):
    def victim(self, candidates):
        return candidates[0]


@wrong("12.3", "too few sequences share a step")
class TwoAtATime(MixedPolicy):
    def order(self, running, waiting):
        return super().order(running, waiting if len(running) < 2 else ())


@wrong("12.3", "scheduled nothing")
class AdmitsNobody(MixedPolicy):
    def order(self, running, waiting):
        return super().order(running, ())


@wrong("12.1", "order() returned 2 groups")
class TwoGroups(MixedPolicy):
    def order(self, running, waiting):
        decoding = [seq for seq in running if seq.is_decoding]
        rest = [seq for seq in running if not seq.is_decoding] + list(waiting)
        return [decoding, sorted(rest, key=lambda seq: seq.num_remaining_tokens)]


@wrong("12.1", "you admit them in the order")
class RandomOrder(MixedPolicy):
    def order(self, running, waiting):
        return [[*decoding_first(running), *random.sample(waiting, len(waiting))]]


@wrong("12.1", "A prompt that has been begun competes by what it still needs")
class PrefillsToTheEnd(MixedPolicy):
    def order(self, running, waiting):
        ranked = sorted(waiting, key=lambda seq: seq.num_remaining_tokens)
        return [[*decoding_first(running), *ranked]]


@wrong("12.2", "order() returned 2 groups")
class PatientInTwoGroups(MixedPolicy):
    def order(self, running, waiting):
        return [running, sorted(waiting, key=lambda seq: seq.num_remaining_tokens)]


@wrong("12.2", "your order throws dice")
class RandomPatience(MixedPolicy):
    def order(self, running, waiting):
        return [[*decoding_first(running), *random.sample(waiting, len(waiting))]]


@wrong("12.2", "A method of `PatientShortestFirst` gave None")
class NoReturn(MixedPolicy):
    def order(self, running, waiting):
        sorted(waiting, key=lambda seq: seq.num_remaining_tokens)
