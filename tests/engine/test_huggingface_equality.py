"""Through the whole engine, paged and batched and preempted: the tokens of Hugging Face."""

from pathlib import Path

import pytest
import torch

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.models.loader import load_model
from nanovllm_edu.runners.build import build_runner
from tests.models.configurations import CONFIGURATIONS, Configuration

NUM_TOKENS = 10
WAYS = (  # each configuration is served in one of these
    {"block_size": 4, "num_blocks": 64},
    {"block_size": 3, "num_blocks": 16, "max_num_batched_tokens": 6},  # chunked and preempted
    {"block_size": 16, "num_blocks": 8, "max_num_seqs": 2},
    {"block_size": 1, "num_blocks": 128, "attention_backend": "reference"},
    {"block_size": 5, "num_blocks": 32, "attention_backend": "sdpa"},
)


@pytest.mark.parametrize("number", range(len(CONFIGURATIONS)), ids=map(str, CONFIGURATIONS))
def test_greedy_tokens_equal_hugging_face(number: int, tmp_path: Path) -> None:
    configuration: Configuration = CONFIGURATIONS[number]
    huggingface = configuration.save(tmp_path)
    generator = torch.Generator().manual_seed(number)
    vocab_size = huggingface.config.vocab_size
    prompts = [
        torch.randint(vocab_size, (length,), generator=generator).tolist() for length in (3, 14, 9)
    ]
    prompts.append(prompts[1][:12])  # shares a prefix
    model = load_model(tmp_path, dtype=torch.float32, progress=False)
    config = EngineConfig(device="cpu", dtype="float32", **WAYS[number % len(WAYS)])
    reasons = {"device": "", "dtype": "", "ops": ""}
    runner, _ = build_runner(model, config, frozenset(), reasons)
    params = SamplingParams(temperature=0, max_tokens=NUM_TOKENS, ignore_eos=True)
    outputs: dict[int, list[int]] = {}
    with LLMEngine(runner, config) as engine:
        for prompt in prompts:
            outputs[engine.add_request(prompt, params)] = []
        for step in engine.run(depth=number % 2):
            for seq_id, token_ids in step.new_tokens.items():
                outputs[seq_id].extend(token_ids)
    for prompt, tokens in zip(prompts, outputs.values(), strict=True):
        expected = huggingface.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
            do_sample=False,
            max_new_tokens=NUM_TOKENS,
            min_new_tokens=NUM_TOKENS,
            pad_token_id=0,
        )
        assert expected[0, len(prompt) :].tolist() == tokens
