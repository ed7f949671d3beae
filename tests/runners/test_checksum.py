import pytest

from nanovllm_edu.core.plan import Chunk, StepPlan
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.runners.checksum import ChecksumRunner, checksum, expected_tokens, sample

GREEDY = SamplingParams(temperature=0.0, max_tokens=4)
SAMPLED = SamplingParams(temperature=1.0, max_tokens=4)


def plan(*chunks: Chunk) -> StepPlan:
    return StepPlan(0, chunks, (), None, ())


def prefill(
    token_ids: tuple[int, ...], blocks: tuple[int, ...], slot: int = 0, start: int = 0
) -> Chunk:
    first_block = start // 2
    return Chunk(
        slot, slot, start, len(token_ids), token_ids, first_block, blocks, True, GREEDY, 0, 3
    )


def decode(start: int, blocks: tuple[int, ...] = (), slot: int = 0) -> Chunk:
    first_block = start // 2 if blocks else 99
    return Chunk(slot, slot, start, 1, (), first_block, blocks, True, GREEDY, 0, 3)


def runner() -> ChecksumRunner:
    return ChecksumRunner(8, 2)


def test_a_prompt_and_its_decodes_give_the_tokens_of_the_reference() -> None:
    device = runner()
    tokens = [device.launch(plan(prefill((5, 6, 7), (3, 1)))).wait()[0]]
    tokens.append(device.launch(plan(decode(3))).wait()[0])
    tokens.append(device.launch(plan(decode(4, (6,)))).wait()[0])
    assert tokens == expected_tokens([5, 6, 7], GREEDY, 0)[:3]
    assert device.mirror(0) == [3, 1, 6]


def test_where_the_blocks_lie_does_not_matter() -> None:
    one, other = runner(), runner()
    assert one.launch(plan(prefill((5, 6, 7), (0, 1)))).wait() == (
        other.launch(plan(prefill((5, 6, 7), (7, 2)))).wait()
    )


def test_chunks_give_what_a_whole_prompt_gives() -> None:
    whole, cut = runner(), runner()
    right = whole.launch(plan(prefill((5, 6, 7, 8), (0, 1)))).wait()
    cut.launch(plan(prefill((5, 6), (0,))))
    assert cut.launch(plan(prefill((7, 8), (1,), start=2))).wait() == right


def test_one_wrong_slot_gives_another_token() -> None:
    device = runner()
    device.launch(plan(prefill((5, 6, 7), (0, 1))))
    device._kv[2] ^= 1
    assert device.launch(plan(decode(3))).wait()[0] != expected_tokens([5, 6, 7], GREEDY, 0)[1]


def test_an_unwritten_slot_gives_another_token() -> None:
    device = runner()
    chunk = prefill((7,), (0, 1), start=2)._replace(first_block=0)
    assert device.launch(plan(chunk)).wait()[0] != expected_tokens([5, 6, 7], GREEDY, 0)[0]


def test_a_chunk_that_does_not_sample_has_no_token() -> None:
    chunk = prefill((5, 6), (0,))._replace(samples=False)
    assert runner().launch(plan(chunk)).wait() == {}


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
    device = runner()
    device.launch(plan(prefill((5, 6, 7), (0, 1))))
    twin = device.fork()
    right = device.launch(plan(decode(3))).wait()
    device.launch(plan(prefill((9, 9, 9), (0, 1))))
    assert twin.launch(plan(decode(3))).wait() == right
    other = device.fork(num_blocks=3, block_size=5)
    assert (other.num_blocks, other.block_size, other.vocab_size) == (3, 5, 1000)
    assert repr(other) == "ChecksumRunner(num_blocks=3, block_size=5)"


def test_closing_twice_is_closing_once() -> None:
    device = runner()
    device.close()
    device.close()
