"""Our decoders against Hugging Face's, in float32, on random weights: logits and greedy tokens."""

import pytest
import torch

from nanovllm_edu.models.loader import load_model
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from tests.models.configurations import CONFIGURATIONS, Configuration
from tests.models.dense_attend import DenseAttend

_NUM_PROMPT_TOKENS = 40
_NUM_NEW_TOKENS = 12


def _greedy(model: Qwen3ForCausalLM, prompt: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """Return the prompt's logits, and the tokens generated after it one at a time."""
    attend, token_ids, start = DenseAttend(), prompt, 0
    prompt_logits, generated = None, []
    for _ in range(_NUM_NEW_TOKENS):
        positions = torch.arange(start, start + len(token_ids))
        logits = model.logits(model(token_ids, positions, attend))
        prompt_logits = logits if prompt_logits is None else prompt_logits
        start, token_ids = start + len(token_ids), logits[-1:].argmax(dim=-1)
        generated.append(int(token_ids))
    assert prompt_logits is not None
    return prompt_logits, generated


def test_there_are_enough_configurations_of_every_family() -> None:
    assert len(CONFIGURATIONS) >= 40
    assert {c.family for c in CONFIGURATIONS} == {"qwen3", "qwen2", "llama", "mistral"}
    assert len({str(c) for c in CONFIGURATIONS}) == len(CONFIGURATIONS)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_logits_and_greedy_tokens_equal_hugging_face(
    configuration: Configuration, tmp_path
) -> None:
    reference = configuration.save(tmp_path)
    if configuration.shard_size != "1GB":
        assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model = load_model(tmp_path, dtype=torch.float32, device="cpu", progress=False)
    generator = torch.Generator().manual_seed(1)
    prompt = torch.randint(model.config.vocab_size, (_NUM_PROMPT_TOKENS,), generator=generator)

    with torch.inference_mode():
        expected_logits = reference(prompt[None]).logits[0]
        expected = reference.generate(
            prompt[None],
            attention_mask=torch.ones_like(prompt)[None],
            max_new_tokens=_NUM_NEW_TOKENS,
            do_sample=False,
        )
        logits, generated = _greedy(model, prompt)

    torch.testing.assert_close(logits, expected_logits, rtol=0, atol=1e-4)
    assert generated == expected[0, _NUM_PROMPT_TOKENS:].tolist()
