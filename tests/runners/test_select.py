"""The choice of a backend is explained, and a bad wish is refused with the remedy."""

import pytest
import torch

from nanovllm_edu.errors import BackendUnavailableError
from nanovllm_edu.kernels.hopper import compiler
from nanovllm_edu.native.threads import load_kernels
from nanovllm_edu.runners import select

CPU = torch.device("cpu")
GPU = torch.device("cuda")


def test_auto_on_a_cpu_is_our_kernel() -> None:
    choice = select.choose("auto", CPU, torch.float32, 64, 16)
    assert choice.name == "native"
    assert choice.why.startswith("our C kernel")


def test_auto_on_a_cpu_falls_back_with_the_reason() -> None:
    choice = select.choose("auto", CPU, torch.bfloat16, 64, 16)
    assert choice.name == "sdpa"
    assert "not native: our C kernel reads float32, and dtype is torch.bfloat16" in choice.why


def test_without_a_compiler_auto_says_so_and_asking_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_kernels.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    choice = select.choose("auto", CPU, torch.float32, 64, 16)
    assert choice.name == "sdpa"
    assert "not native: no C compiler was found (CC='no-such-compiler')" in choice.why
    with pytest.raises(BackendUnavailableError, match="attention_backend='native': no C compiler"):
        select.choose("native", CPU, torch.float32, 64, 16)


def test_flash_on_a_cpu_is_refused() -> None:
    with pytest.raises(BackendUnavailableError, match=r"needs a CUDA GPU.*use 'sdpa'"):
        select.choose("flash", CPU, torch.bfloat16, 64, 256)


def test_flash_wants_blocks_of_256(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanovllm_edu.attention.flash.find_spec", lambda name: object())
    with pytest.raises(BackendUnavailableError, match=r"block_size=16; set block_size=256"):
        select.choose("flash", GPU, torch.bfloat16, 64, 16)
    assert select.choose("auto", GPU, torch.bfloat16, 64, 256).name == "flash"
    assert select.choose("auto", GPU, torch.float32, 64, 256).name == "triton"


def test_auto_on_a_gpu_falls_back_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanovllm_edu.attention.flash.find_spec", lambda name: None)
    choice = select.choose("auto", GPU, torch.bfloat16, 128, 16)
    assert choice.name == "triton"
    assert "flash-attn is not installed" in choice.why
    choice = select.choose("auto", GPU, torch.bfloat16, 96, 16)
    assert choice.name == "sdpa"
    assert "head_dim (32, 64, 128), not 96" in choice.why


def test_hopper_is_used_when_asked_for_and_says_why_it_cannot_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BackendUnavailableError, match=r"'hopper': .* need a CUDA GPU"):
        select.choose("hopper", CPU, torch.bfloat16, 128, 16)
    monkeypatch.setattr(compiler, "why_unavailable", lambda *_: None)
    assert select.choose("hopper", GPU, torch.bfloat16, 128, 16).name == "hopper"
    assert "hopper" in select.RECORDABLE
    with pytest.raises(BackendUnavailableError, match=r"multiple of 16, not 24; use 'triton'"):
        select.choose("hopper", GPU, torch.bfloat16, 128, 24)
    monkeypatch.setattr(compiler, "why_unavailable", lambda *_: "it is for other GPUs")
    with pytest.raises(BackendUnavailableError, match="it is for other GPUs; use 'triton'"):
        select.choose("hopper", GPU, torch.bfloat16, 64, 16)
