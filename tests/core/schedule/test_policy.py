from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.policy import Groups, MixedPolicy, PhaseSeparatedPolicy
from tests.core.sequences import request


def decoding(seq_id: int) -> Sequence:
    seq = request(seq_id, [1])
    seq.is_decoding = True
    return seq


def ids(groups: Groups) -> list[list[int]]:
    return [[seq.seq_id for seq in group] for group in groups]


RUNNING = (request(0, [1]), decoding(1), request(2, [1]), decoding(3))
WAITING = (request(4, [1]), request(5, [1]))


def test_mixed_puts_decodes_first_then_running_prompts_then_new_ones() -> None:
    assert ids(MixedPolicy().order(RUNNING, WAITING)) == [[1, 3, 0, 2, 4, 5]]


def test_phase_separated_is_all_prefill_or_all_decode() -> None:
    assert ids(PhaseSeparatedPolicy().order(RUNNING, WAITING)) == [[0, 2, 4, 5], [1, 3]]


def test_the_latest_comer_gives_way() -> None:
    candidates = list(RUNNING)
    for policy in (MixedPolicy(), PhaseSeparatedPolicy()):
        assert policy.victim(candidates) is candidates[-1]


def test_the_name_is_the_repr() -> None:
    assert repr(MixedPolicy()) == "MixedPolicy()"
    assert repr(PhaseSeparatedPolicy()) == "PhaseSeparatedPolicy()"
