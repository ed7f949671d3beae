"""Clients take turns; who wants less than an equal share gets all of it."""

from random import Random

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.fair_policy import FairPolicy
from nanovllm_edu.core.schedule.policy import MixedPolicy
from tests.core.sequences import request
from tests.engine.engines import engine


def clients_of(names: str, offset: int = 0) -> tuple:
    seqs = []
    for index, name in enumerate(names):
        seq = request(offset + index, [1, 2, 3])
        seq.client = name
        seqs.append(seq)
    return tuple(seqs)


def order(waiting: str) -> str:
    (group,) = FairPolicy().order((), clients_of(waiting))
    ranked = list(group)
    assert sorted(seq.client for seq in ranked) == sorted(waiting)
    return "".join(seq.client for seq in ranked)


def test_clients_take_turns():
    assert order("aaaabb") == "ababaa"
    assert order("aabbcc") == "abcabc"


def test_turns_are_remembered_and_cannot_be_saved_up():
    policy, seqs = FairPolicy(), clients_of("aaaab")

    def first(*waiting: Sequence) -> Sequence:
        """Who goes first; it begins, and is done at once."""
        seq = next(iter(next(iter(policy.order((), waiting)))))
        seq.num_prefix_hit_tokens = 0
        return seq

    one, two, three, four, other = seqs
    assert first(one, two) is one
    assert first(two, three) is two
    assert first(three, four, other) is three  # the newcomer has not saved two turns up
    assert first(four, other) is other
    assert first(four) is four


def test_one_client_alone_is_first_come_first_served():
    running, waiting = clients_of("aaa"), clients_of("aaaa", 100)
    (fair,), (mixed,) = (p.order(running, waiting) for p in (FairPolicy(), MixedPolicy()))
    assert list(fair) == list(mixed)


def finished_in_order(policy: MixedPolicy, names: str) -> str:
    """Whose requests end in which order, with two rows and answers of equal length."""
    llm = engine(num_blocks=64, policy=policy, max_num_seqs=2)
    params = SamplingParams(temperature=0, max_tokens=4)
    seqs = llm.add_requests([([7, 8, index], params) for index in range(len(names))])
    for seq, name in zip(seqs, names, strict=True):
        seq.client = name
    ends = []
    while llm.has_unfinished_requests():
        record = llm.step()
        ends += [names[seq_id] for seq_id in record.finished]
    return "".join(ends)


def test_one_who_asks_for_much_does_not_keep_the_others_waiting():
    names = "a" * 10 + "b" * 2
    assert finished_in_order(MixedPolicy(), names) == names
    assert finished_in_order(FairPolicy(), names) == "abab" + "a" * 8


def test_nobody_is_left_out_in_a_random_crowd():
    random = Random(1)
    names = "".join(random.choice("aaaabc") for _ in range(40))
    assert sorted(finished_in_order(FairPolicy(), names)) == sorted(names)
