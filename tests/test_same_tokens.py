"""However a request is served, its tokens are the same; and they are Hugging Face's."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from nanovllm_edu import LLM, PhaseSeparatedPolicy, SamplingParams
from nanovllm_edu.models.folder import resolve_model_folder

PARAMS = [
    SamplingParams(temperature=0, max_tokens=24, ignore_eos=True),
    SamplingParams(temperature=0.8, seed=1, max_tokens=24, ignore_eos=True),
    SamplingParams(temperature=1.0, seed=2, top_k=9, top_p=0.9, max_tokens=20, ignore_eos=True),
    SamplingParams(
        temperature=0.7, seed=3, repetition_penalty=1.3, presence_penalty=0.4,
        frequency_penalty=0.2, max_tokens=24, ignore_eos=True,
    ),
    SamplingParams(temperature=1.2, seed=4, min_p=0.05, max_tokens=16, ignore_eos=True),
]  # fmt: skip

WAYS = {
    "batched": {},
    "phase-separated": {"policy": PhaseSeparatedPolicy()},
    "chunked": {"max_num_batched_tokens": 7},
    "preempted": {"num_blocks": 16, "block_size": 4},
    "tiny blocks": {"block_size": 1},
    "no prefix caching": {"enable_prefix_caching": False},
    "a tree of prefixes": {"prefix_cache": "radix", "block_size": 4},
    "two at a time": {"max_num_seqs": 2},
    "readable attention": {"attention_backend": "reference"},
    "attention over gathered keys": {"attention_backend": "sdpa"},
}


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    rng = random.Random(0)
    shared = [rng.randrange(300, 2000) for _ in range(13)]
    return [shared[: 3 * i] + [rng.randrange(300, 2000) for _ in range(9)] for i in range(5)]


@pytest.fixture(scope="module")
def alone(prompts: list[list[int]]) -> list[list[int]]:
    with LLM() as llm:
        return [
            llm.generate(prompt, params, use_tqdm=False)[0].token_ids
            for prompt, params in zip(prompts, PARAMS, strict=True)
        ]


def test_greedy_equals_hugging_face(prompts: list[list[int]], alone: list[list[int]]) -> None:
    model = AutoModelForCausalLM.from_pretrained(resolve_model_folder("tiny"), dtype=torch.float32)
    model.generation_config.eos_token_id = None  # go on after it, as ignore_eos does
    output = model.generate(torch.tensor([prompts[0]]), do_sample=False, max_new_tokens=24)
    assert output[0, len(prompts[0]) :].tolist() == alone[0]


@pytest.mark.parametrize("way", WAYS)
def test_tokens_do_not_depend_on_how(
    way: str, prompts: list[list[int]], alone: list[list[int]]
) -> None:
    with LLM(**WAYS[way]) as llm:
        outputs = llm.generate(prompts, PARAMS, use_tqdm=False)
        assert [output.token_ids for output in outputs] == alone
        if way == "preempted":
            assert sum(output.metrics.num_preemptions for output in outputs) > 0


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_tokens_do_not_depend_on_depth(
    depth: int, prompts: list[list[int]], alone: list[list[int]]
) -> None:
    with LLM(block_size=4, num_blocks=20) as llm:
        for prompt, params in zip(prompts, PARAMS, strict=True):
            llm.engine.add_request(prompt, params)
        tokens: dict[int, list[int]] = {}
        for record in llm.engine.run(depth):
            for seq_id, token_ids in record.new_tokens.items():
                tokens.setdefault(seq_id, []).extend(token_ids)
            llm.engine.scheduler.check_invariants()
        assert list(dict(sorted(tokens.items())).values()) == alone


def test_a_fork_goes_on_with_the_same_tokens(
    prompts: list[list[int]], alone: list[list[int]]
) -> None:
    with LLM(block_size=4) as llm:
        for prompt, params in zip(prompts, PARAMS, strict=True):
            llm.engine.add_request(prompt, params)
        before: dict[int, list[int]] = {}
        for _ in range(6):
            for seq_id, token_ids in llm.engine.step().new_tokens.items():
                before.setdefault(seq_id, []).extend(token_ids)
        forks = [
            llm.engine.fork(),
            llm.engine.fork(policy=PhaseSeparatedPolicy()),
            llm.engine.fork(block_size=8, num_blocks=40),
        ]
        for engine in [*forks, llm.engine]:
            tokens = {seq_id: list(ids) for seq_id, ids in before.items()}
            for record in engine.run(0):
                for seq_id, token_ids in record.new_tokens.items():
                    tokens.setdefault(seq_id, []).extend(token_ids)
            assert list(dict(sorted(tokens.items())).values()) == alone
