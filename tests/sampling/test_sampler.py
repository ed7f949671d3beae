"""The sampler draws from the right distribution, and a row's token is its own affair."""

import pytest
import torch
from torch import Tensor

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.sampling.sampler import Sampler, apply_filters
from nanovllm_edu.sampling.tensors import SamplingRow, SamplingTensors

MIXTURE = (
    SamplingParams(temperature=0),
    SamplingParams(),
    SamplingParams(temperature=0.5, top_k=3),
    SamplingParams(top_p=0.6),
    SamplingParams(min_p=0.2, top_k=7, top_p=0.9, temperature=1.7),
    SamplingParams(temperature=0, repetition_penalty=3.0),
    SamplingParams(presence_penalty=1.5, frequency_penalty=0.5, logprobs=2),
    SamplingParams(temperature=0, logprobs=4),
)


def sample(logits: Tensor, rows: list[SamplingRow], table: Tensor | None = None) -> list[int]:
    return Sampler()(logits, SamplingTensors.build(rows, "cpu", table)).token_ids.tolist()


@pytest.fixture
def mixture() -> tuple[Tensor, list[SamplingRow], Tensor]:
    """24 rows of all kinds, their logits and the token table."""
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(24, 40, generator=generator)
    table = torch.randint(40, (24, 30), generator=generator)
    rows = [
        SamplingRow(MIXTURE[i % len(MIXTURE)], seed=i // 3, position=10 + i % 5,
                    num_prompt_tokens=6, row=23 - i)
        for i in range(24)
    ]  # fmt: skip
    return logits, rows, table


def test_a_row_gets_the_same_token_alone_and_in_any_batch(mixture):
    logits, rows, table = mixture
    together = sample(logits, rows, table)
    assert together == sample(logits, rows, table)
    backwards = sample(logits.flip(0), rows[::-1], table)
    assert together == backwards[::-1]
    for i, row in enumerate(rows):
        assert sample(logits[i : i + 1], [row], table) == together[i : i + 1]


def test_greedy_rows_take_the_likeliest_token_next_to_random_ones(mixture):
    logits, rows, table = mixture
    tokens = sample(logits, rows, table)
    for i in range(0, 24, len(MIXTURE)):
        assert tokens[i] == logits[i].argmax()
        assert tokens[i + 7] == logits[i + 7].argmax()


def test_the_first_of_equally_likely_tokens_is_the_greedy_one():
    logits = torch.tensor([[1.0, 5.0, 5.0, 0.0]])
    greedy, warm = SamplingParams(temperature=0), SamplingParams()
    assert sample(logits, [SamplingRow(greedy, 0, 0)]) == [1]
    both = sample(logits.repeat(2, 1), [SamplingRow(greedy, 0, 0), SamplingRow(warm, 0, 0)])
    assert both[0] == 1


@pytest.mark.gpu
def test_a_gpu_draws_the_same_tokens(mixture):
    logits, rows, table = mixture
    tensors = SamplingTensors.build(rows, "cuda", table.cuda())
    output = Sampler()(logits.cuda(), tensors).to_host()
    torch.cuda.synchronize()
    assert output.token_ids.tolist() == sample(logits, rows, table)


def chi_square(tokens: list[int], probabilities: Tensor) -> tuple[float, int]:
    """The statistic and its degrees of freedom."""
    counts = torch.bincount(torch.tensor(tokens), minlength=len(probabilities)).double()
    assert (counts[probabilities == 0] == 0).all(), "a dropped token was drawn"
    possible = probabilities > 0
    expected = len(tokens) * probabilities[possible].double()
    return ((counts[possible] - expected) ** 2 / expected).sum().item(), int(possible.sum()) - 1


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(temperature=0.6),
        SamplingParams(top_k=4),
        SamplingParams(top_p=0.8, temperature=1.5),
        SamplingParams(min_p=0.1),
    ],
    ids=lambda params: f"t{params.temperature} k{params.top_k} p{params.top_p} m{params.min_p}",
)
@pytest.mark.parametrize("varied", ["seed", "position"])
def test_twenty_thousand_draws_follow_the_softmax(params: SamplingParams, varied: str):
    num_draws = 20_000
    logits = torch.tensor([1.0, 0.2, -0.5, 2.0, 0.9, -1.0, 1.4, 0.0, 0.3, -0.2])
    rows = [SamplingRow(params, 11, 5)._replace(**{varied: i}) for i in range(num_draws)]
    tokens = sample(logits.repeat(num_draws, 1), rows)
    filtered = apply_filters(logits[None], SamplingTensors.build(rows[:1]))
    statistic, freedom = chi_square(tokens, filtered[0].softmax(0))
    # A chi-square has mean n and variance 2n: five sigmas, so that only a wrong sampler fails.
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1e-5),
        SamplingParams(temperature=1e-300),
        SamplingParams(top_p=1e-12),
        SamplingParams(top_k=1),
        SamplingParams(min_p=1.0),
    ],
    ids=str,
)
def test_extreme_options_come_down_to_greedy(params: SamplingParams):
    logits = 5 * torch.randn(50, 30, generator=torch.Generator().manual_seed(2))
    tokens = sample(logits, [SamplingRow(params, seed, 3) for seed in range(50)])
    assert tokens == logits.argmax(1).tolist()


def test_impossible_tokens_are_never_drawn():
    logits = torch.full((500, 20), float("-inf"))
    logits[:, [3, 8]] = torch.tensor([0.0, -1.0])
    tokens = sample(logits, [SamplingRow(SamplingParams(), seed, 0) for seed in range(500)])
    assert set(tokens) == {3, 8}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_sampled_in_float32(dtype: torch.dtype):
    logits = torch.randn(8, 100).to(dtype)
    rows = [SamplingRow(MIXTURE[1], i, 0) for i in range(8)]
    assert sample(logits, rows) == sample(logits.float(), rows)


def test_any_integer_is_a_seed_and_only_its_low_64_bits_count():
    logits = torch.zeros(1, 1000)
    tokens = {
        seed: sample(logits, [SamplingRow(SamplingParams(), seed, 0)])[0]
        for seed in (5, 2**64 + 5, 2**63, 2**64 - 1, 2**32 + 5)
    }
    assert tokens[5] == tokens[2**64 + 5]
    assert len(set(tokens.values())) == 4


def test_logprobs_are_those_of_the_raw_logits(mixture):
    logits, rows, table = mixture
    output = Sampler()(logits, SamplingTensors.build(rows, "cpu", table))
    found = output.to_host().logprobs_of([100 + i for i in range(24)])
    expected = logits.log_softmax(1)
    assert sorted(found) == [106, 107, 114, 115, 122, 123]
    for seq_id, (logprobs,) in found.items():
        row = seq_id - 100
        assert logprobs.token_id == output.token_ids[row]
        assert logprobs.logprob == pytest.approx(expected[row, logprobs.token_id].item())
        assert len(logprobs.top) == rows[row].params.logprobs
        values, ids = expected[row].topk(len(logprobs.top))
        assert [i for i, _ in logprobs.top] == ids.tolist()
        assert [v for _, v in logprobs.top] == pytest.approx(values.tolist())


def test_zero_logprobs_gives_the_chosen_token_alone():
    rows = [SamplingRow(SamplingParams(temperature=0, logprobs=0), 0, 0)]
    output = Sampler()(torch.tensor([[0.0, 1.0]]), SamplingTensors.build(rows))
    (chosen,) = output.logprobs_of([7])[7]
    assert chosen.top == ()
    assert chosen.logprob == pytest.approx(-0.31326, abs=1e-4)


def test_more_logprobs_than_tokens_gives_them_all():
    rows = [SamplingRow(SamplingParams(temperature=0, logprobs=9), 0, 0)]
    output = Sampler()(torch.tensor([[0.0, 1.0]]), SamplingTensors.build(rows))
    (chosen,) = output.logprobs_of([7])[7]
    assert [i for i, _ in chosen.top] == [1, 0]


def test_a_greedy_batch_needs_no_tensor():
    tensors = SamplingTensors.build([SamplingRow(SamplingParams(temperature=0), 0, 0)] * 3)
    assert tensors == SamplingTensors(3, (None, None, None))


def test_only_options_in_use_become_tensors():
    rows = [SamplingRow(SamplingParams(temperature=0, top_p=0.5), 0, 0)]
    rows += [SamplingRow(SamplingParams(top_k=5), 0, 0)]
    tensors = SamplingTensors.build(rows)
    assert tensors.top_p is None  # only the greedy row has it, and greedy ignores it
    assert tensors.min_p is None
    assert tensors.top_k is not None
    assert tensors.top_k.tolist() == [0, 5]
    assert tensors.max_top_k == 5
    assert tensors.is_top_k_everywhere


def test_penalties_look_at_prompt_and_output_as_defined():
    table = torch.tensor([[4, 4, 2, 1, 1, 0]])  # prompt 4 4, output 2 1 1; the 0 is stale
    logits = torch.tensor([[0.0, 3.0, 3.1, 2.9, 3.2]])

    def greedy(**penalty: float) -> int:
        params = SamplingParams(temperature=0, **penalty)
        return sample(logits, [SamplingRow(params, 0, 5, 2, 0)], table)[0]

    assert greedy() == 4
    assert greedy(repetition_penalty=1.5) == 3  # 4 is in the prompt, 2 and 1 in the output
    assert greedy(presence_penalty=2.0) == 4  # the prompt does not count
    assert greedy(presence_penalty=-0.2) == 2  # 3.3 against 4's 3.2
    assert greedy(frequency_penalty=-0.2) == 1  # 3.4: it occurs twice


def test_penalties_ignore_what_an_earlier_sequence_left_in_the_table():
    table = torch.tensor([[4, 4, 2, 1, 1, 0], [4, 4, 2, 1, 1, 3]])  # the first row's 0 is stale
    params = SamplingParams(temperature=0, presence_penalty=1.0)
    rows = [SamplingRow(params, 0, 5, 2, 0), SamplingRow(params, 0, 6, 2, 1)]
    assert sample(torch.tensor([[1.0, 0.0, 0.5, 0.0, 0.2]]).repeat(2, 1), rows, table) == [0, 0]
