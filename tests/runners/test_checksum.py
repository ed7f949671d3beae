import pytest

from nanovllm_edu.core.plan import (
    BlockCopy,
    BlockRef,
    BlockUpdate,
    Joined,
    SamplingUpdate,
    Span,
    Spans,
    StepPlan,
)
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.runners.checksum import (
    UNWRITTEN,
    ChecksumRunner,
    checksum,
    expected_tokens,
    sample,
)

GREEDY = SamplingParams(temperature=0.0, max_tokens=4)
SAMPLED = SamplingParams(temperature=1.0, max_tokens=4)
PROMPT = (5, 6, 7)
RIGHT = expected_tokens([*PROMPT], GREEDY, 0)


def joined(token_ids: tuple[int, ...] = PROMPT, row: int = 0, seq_id: int = 0) -> Joined:
    return Joined(seq_id, row, token_ids, len(token_ids), GREEDY, 0)


def blocks(*block_ids: int, row: int = 0, first: int = 0, group: int = 0) -> BlockUpdate:
    return BlockUpdate(group, row, first, block_ids)


def plan(*what: object) -> StepPlan:
    """A plan of these parts, each put where it belongs."""

    def of(kind: type) -> tuple:
        return tuple(part for part in what if isinstance(part, kind))

    return StepPlan(
        0,
        Spans(of(Span)),
        of(Joined),
        tuple(part for part in what if type(part) is int),
        of(SamplingUpdate),
        of(BlockUpdate),
        of(BlockCopy),
    )


def prefill(num_tokens: int = 3, row: int = 0, seq_id: int = 0) -> Span:
    return Span(seq_id, row, 0, num_tokens)


def run(device: ChecksumRunner, *what: object, seq_id: int = 0) -> tuple[int, ...]:
    """The tokens of one sequence."""
    return device.launch(plan(*what)).wait().tokens[seq_id]


def runner(**options: int) -> ChecksumRunner:
    return ChecksumRunner(8, 2, **options)  # type: ignore[arg-type]


def started(**options: int) -> ChecksumRunner:
    """The prompt is computed, in blocks 3 and 1, and its first token sampled."""
    device = runner(**options)
    run(device, joined(), blocks(3, 1), prefill())
    return device


def test_a_prompt_and_its_decodes_give_the_tokens_of_the_reference() -> None:
    device = runner()
    tokens = [*run(device, joined(), blocks(3, 1), prefill())]
    tokens += run(device, Span(0, 0, 3, 1))
    tokens += run(device, blocks(6, first=2), Span(0, 0, 4, 1))
    assert tokens == RIGHT[:3]
    assert device.mirror(0) == [3, 1, 6]


def test_where_the_blocks_lie_does_not_matter() -> None:
    one = run(runner(), joined(), blocks(0, 1), prefill())
    assert one == run(runner(), joined(), blocks(7, 2), prefill())


def test_chunks_give_what_a_whole_prompt_gives() -> None:
    right = run(runner(), joined((5, 6, 7, 8)), blocks(0, 1), prefill(4))
    cut = runner()
    cut.launch(plan(joined((5, 6, 7, 8)), blocks(0), Span(0, 0, 0, 2, is_sampled=False)))
    assert run(cut, blocks(1, first=1), Span(0, 0, 2, 2)) == right


def test_one_wrong_slot_gives_another_token() -> None:
    device = started()
    device.slots(BlockRef(0, 1))[0] ^= 1
    assert run(device, Span(0, 0, 3, 1))[0] != RIGHT[1]


def test_an_unwritten_slot_gives_another_token() -> None:
    assert run(runner(), joined(), blocks(0, 1), Span(0, 0, 2, 1))[0] != RIGHT[0]


def test_a_span_that_is_not_sampled_has_no_token() -> None:
    what = plan(joined(), blocks(0, 1), Span(0, 0, 0, 2, is_sampled=False))
    assert runner().launch(what).wait().tokens == {}


def test_a_token_is_sampled_only_where_one_is_computed() -> None:
    for span in (Span(0, 0, 3, 0), Span(0, 0, 3, 1, (1, 2), 1)):
        with pytest.raises(AssertionError, match="sampled from where no token is computed"):
            started().launch(plan(span))


def test_a_sequence_must_have_joined_the_row_it_uses() -> None:
    with pytest.raises(AssertionError, match="never joined its row"):
        started().launch(plan(Span(9, 0, 3, 1)))
    with pytest.raises(KeyError):
        started().launch(plan(0, Span(0, 0, 3, 1)))  # it left before


def test_a_row_is_taken_anew_with_nothing_of_the_one_before() -> None:
    device = started()
    assert (
        run(device, 0, joined(seq_id=4), blocks(6, 7), prefill(seq_id=4), seq_id=4)[0] == RIGHT[0]
    )
    assert device.mirror(0) == [6, 7]


def test_a_table_is_cut_where_an_update_begins() -> None:
    device = started()
    run(device, blocks(5, 6, first=2), Span(0, 0, 3, 1))
    run(device, blocks(7, first=2), Span(0, 0, 4, 1))
    assert device.mirror(0) == [3, 1, 7]


def test_another_way_of_sampling_holds_from_its_step_on() -> None:
    device = started()
    found = run(device, SamplingUpdate(0, 0, SAMPLED), Span(0, 0, 3, 1))
    assert [*found] == expected_tokens([*PROMPT, RIGHT[0]], SAMPLED, 0)[:1]


# -------------------------------------------------------------------------------- guesses


@pytest.mark.parametrize(
    ("drafted", "num_tokens"),
    [(RIGHT[1:3], 3), ([RIGHT[1], 0], 2), ([0, RIGHT[2]], 1), ([0, 0], 1)],
    ids=["right", "half right", "wrong, then right", "wrong"],
)
def test_guesses_are_verified_up_to_the_first_wrong_one(drafted: list, num_tokens: int) -> None:
    device = started()
    given = (RIGHT[0], *drafted)
    found = run(device, blocks(6, first=2), Span(0, 0, 3, 3, given, 2))
    assert [*found] == RIGHT[1 : 1 + num_tokens]
    end = 3 + num_tokens
    update = (blocks(2, first=3),) if end == 6 else ()
    if end + 1 <= 6:  # what wrong guesses left behind is overwritten
        assert [*run(device, *update, Span(0, 0, end, 1))] == RIGHT[1 + num_tokens : 2 + num_tokens]


# --------------------------------------------------------------------- copies and groups


def test_a_copied_block_is_read_through_another_row() -> None:
    device = started()
    copies = [BlockCopy(BlockRef(0, 3), BlockRef(0, 5)), BlockCopy(BlockRef(0, 1), BlockRef(0, 6))]
    other = joined((*PROMPT, RIGHT[0]), row=1, seq_id=1)
    found = run(device, *copies, other, blocks(5, 6, row=1), Span(1, 1, 3, 1), seq_id=1)
    assert found[0] == RIGHT[1]
    assert device.slots(BlockRef(0, 5)) == device.slots(BlockRef(0, 3))
    assert device.slots(BlockRef(0, 5)) is not device.slots(BlockRef(0, 3))
    assert run(device, Span(0, 0, 3, 1))[0] == RIGHT[1]  # its own blocks are its own


def test_a_block_goes_to_the_host_and_comes_back_into_another_one() -> None:
    device = started(num_host_blocks=2)
    out = (BlockCopy(BlockRef(0, 3), BlockRef(1, 1)), BlockCopy(BlockRef(0, 1), BlockRef(1, 0)))
    device.launch(plan(*out))
    run(device, joined((9, 9, 9), 1, 1), blocks(3, 1, row=1), prefill(3, 1, 1), seq_id=1)
    back = (BlockCopy(BlockRef(1, 1), BlockRef(0, 6)), BlockCopy(BlockRef(1, 0), BlockRef(0, 7)))
    again = joined((*PROMPT, RIGHT[0]), row=2, seq_id=2)
    found = run(device, *back, again, blocks(6, 7, row=2), Span(2, 2, 3, 1), seq_id=2)
    assert found[0] == RIGHT[1]


def test_copies_come_before_what_the_step_computes() -> None:
    device = started()
    copy = BlockCopy(BlockRef(0, 3), BlockRef(0, 5))
    run(device, copy, joined((9, 9), 1, 1), blocks(3, row=1), prefill(2, 1, 1), seq_id=1)
    assert device.slots(BlockRef(0, 5)) == [checksum(None, 5), checksum(checksum(None, 5), 6)]


def test_there_is_no_host_block_unless_asked_for() -> None:
    with pytest.raises(AssertionError, match="a copy to a block that is not there"):
        started().launch(plan(BlockCopy(BlockRef(0, 3), BlockRef(1, 0))))
    with pytest.raises(KeyError):
        started().launch(plan(BlockCopy(BlockRef(1, 0), BlockRef(0, 3))))


def test_each_group_keeps_its_own_and_they_must_agree() -> None:
    device = runner(num_groups=2)
    updates = (blocks(3, 1), blocks(2, 4, group=1))
    assert run(device, joined(), *updates, prefill())[0] == RIGHT[0]
    assert (device.mirror(0), device.mirror(0, group=1)) == ([3, 1], [2, 4])
    assert device.slots(BlockRef(0, 2), group=1) == device.slots(BlockRef(0, 3))
    assert device.slots(BlockRef(0, 2)) == [UNWRITTEN] * 2
    device.slots(BlockRef(0, 2), group=1)[0] ^= 1
    with pytest.raises(AssertionError, match="groups disagree"):
        device.launch(plan(Span(0, 0, 3, 1)))


# ------------------------------------------------------------------------------ reference


def test_the_seed_matters_unless_greedy() -> None:
    prompt = [5, 6, 7]
    assert expected_tokens(prompt, GREEDY, 1) == expected_tokens(prompt, GREEDY, 2)
    assert expected_tokens(prompt, SAMPLED, 1) != expected_tokens(prompt, SAMPLED, 2)


def test_a_sample_depends_on_every_slot() -> None:
    context = [checksum(None, 1), checksum(checksum(None, 1), 2), 3]
    changed = [
        [value ^ (index == i) for i, value in enumerate(context)] for index in range(len(context))
    ]
    samples = {sample(values, GREEDY, 0, 2**32) for values in [context, *changed]}
    assert len(samples) == len(context) + 1


@pytest.mark.parametrize(
    ("params", "limits", "num_tokens"),
    [
        (GREEDY, {}, 4),
        (GREEDY, {"max_model_len": 5}, 2),
        (GREEDY, {"vocab_size": 1, "eos_token_ids": frozenset({0})}, 1),
        (SamplingParams(max_tokens=3, ignore_eos=True), {"eos_token_ids": frozenset(range(9))}, 3),
        (SamplingParams(max_tokens=3, stop_token_ids=(0,)), {"vocab_size": 1}, 1),
    ],
)
def test_the_reference_ends_where_a_request_ends(
    params: SamplingParams, limits: dict, num_tokens: int
) -> None:
    assert len(expected_tokens([5, 6, 7], params, 0, **limits)) == num_tokens


def test_a_fork_is_a_copy_or_a_blank_one_of_another_shape() -> None:
    device = started()
    twin = device.fork()
    right = run(device, Span(0, 0, 3, 1))
    run(device, 0, joined((9, 9, 9), seq_id=1), blocks(3, 1), prefill(seq_id=1), seq_id=1)
    assert run(twin, Span(0, 0, 3, 1)) == right
    other = runner(num_groups=2, num_host_blocks=1).fork(num_blocks=3, block_size=5)
    assert (other.num_blocks, other.block_size, other.vocab_size) == (3, 5, 1000)
    assert other.slots(BlockRef(1, 0), group=1) == [UNWRITTEN] * 5
    assert repr(other) == "ChecksumRunner(num_blocks=3, block_size=5)"


def test_closing_twice_is_closing_once() -> None:
    device = runner()
    device.close()
    device.close()
