"""Masks applied in C equal the sampler's own stage, whatever the vocabulary's size."""

import pytest
import torch

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.native import mask
from nanovllm_edu.native.threads import load_kernels
from nanovllm_edu.sampling import edits


@pytest.mark.parametrize("num_rows", [0, 1, 7, 200])
@pytest.mark.parametrize(("vocab_size", "num_bytes"), [(1, 1), (24, 4), (2560, 324), (1001, 128)])
def test_it_equals_the_reference(num_rows: int, vocab_size: int, num_bytes: int) -> None:
    torch.manual_seed(num_rows)
    logits = torch.randn(num_rows, vocab_size)
    bits = torch.randint(0, 256, (num_rows, num_bytes), dtype=torch.uint8)
    before = logits.clone()
    assert torch.equal(mask.hold(logits, bits), edits.hold(logits, bits))
    assert torch.equal(logits, before), "the input was changed"


def test_views_are_read_as_what_they_show() -> None:
    logits, bits = torch.randn(64, 6).T, torch.randint(0, 256, (6, 24), dtype=torch.uint8)[:, 3:13]
    assert torch.equal(mask.hold(logits, bits), edits.hold(logits, bits))


def test_a_runner_on_a_cpu_uses_it_and_without_a_compiler_says_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = SamplingParams(structured_outputs={"regex": "[a-z ]{40}"}, seed=1, max_tokens=30)
    calls = list[int]()
    hold = mask.hold
    monkeypatch.setattr(mask, "hold", lambda *args: (calls.append(1), hold(*args))[1])
    with LLM(device="cpu", num_blocks=32) as llm:
        fast = llm.generate("Say: ", params, use_tqdm=False)[0].token_ids
    assert len(calls) == len(fast)
    monkeypatch.setattr(mask, "faster_stages", lambda device: {})
    with LLM(device="cpu", num_blocks=32) as llm:
        assert llm.generate("Say: ", params, use_tqdm=False)[0].token_ids == fast
    assert len(calls) == len(fast)


def test_where_there_is_no_compiler_the_stage_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    load_kernels.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    assert mask.faster_stages(torch.device("cpu")) == {}
    load_kernels.cache_clear()
    assert mask.faster_stages(torch.device("cuda")) == {}
