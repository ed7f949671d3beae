"""What a loaded model is: its dtype, its memory, its independence of global state."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.models.checkpoint import checkpoint_tensors
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.loader import build_random_model, load_model
from tests.models.dense_attend import DenseAttend

_CONFIG = ModelConfig(
    architecture="Qwen3ForCausalLM",
    vocab_size=50,
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=48,
    qk_norm=True,
    tie_word_embeddings=True,
)


def test_weights_arrive_in_the_requested_dtype(folder: Path) -> None:
    model = load_model(folder, dtype=torch.bfloat16, progress=False)
    stored = load_file(folder / "model.safetensors")
    assert model.config.dtype == torch.bfloat16
    assert model.cos_sin.dtype == torch.float32
    for name, tensor in checkpoint_tensors(model).items():
        assert torch.equal(tensor, stored[name].to(torch.bfloat16)), name


def test_without_a_dtype_the_checkpoints_is_taken(folder: Path) -> None:
    assert load_model(folder, progress=False).config.dtype == torch.float32


def test_nothing_asks_for_gradients_or_is_kept_in_training_mode(folder: Path) -> None:
    model = load_model(folder, progress=False)
    assert not any(p.requires_grad for p in model.parameters())
    assert not model.training


def test_global_state_is_left_alone(folder: Path) -> None:
    before = (torch.get_default_dtype(), torch.get_default_device(), torch.get_rng_state())
    load_model(folder, dtype=torch.bfloat16, progress=False)
    build_random_model(_CONFIG)
    assert (torch.get_default_dtype(), torch.get_default_device()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_the_rotary_table_is_as_long_as_the_longest_sequence(folder: Path) -> None:
    assert len(load_model(folder, max_model_len=40, progress=False).cos_sin) == 40
    assert len(load_model(folder, progress=False).cos_sin) == 128


@pytest.mark.parametrize("length", [0, 129])
def test_a_length_beyond_the_positions_is_refused(folder: Path, length: int) -> None:
    with pytest.raises(ConfigError, match=rf"max_model_len is {length}; .* 128 positions"):
        load_model(folder, max_model_len=length, progress=False)


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, second, other = (build_random_model(_CONFIG, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.embed_tokens.weight, other.embed_tokens.weight)
    assert first.embed_tokens.weight.std() == pytest.approx(0.02, rel=0.1)
    assert torch.equal(first.norm.weight, torch.ones(32))


def test_a_tied_head_is_the_embedding_itself() -> None:
    model = build_random_model(_CONFIG)
    assert model.lm_head is model.embed_tokens


def test_a_16_bit_model_stays_in_16_bits() -> None:
    model = build_random_model(_CONFIG, dtype=torch.bfloat16)
    token_ids = torch.arange(6)
    hidden = model(token_ids, token_ids, DenseAttend())
    assert hidden.dtype == model.logits(hidden).dtype == torch.bfloat16


def test_tokens_of_one_step_do_not_see_each_other_but_through_attend() -> None:
    model = build_random_model(_CONFIG)
    token_ids, positions = torch.tensor([3, 9, 27]), torch.tensor([0, 5, 2])

    def own_value(layer, q, k, v):
        return v.repeat_interleave(2, dim=1)

    together = model(token_ids, positions, own_value)
    for i in range(3):
        alone = model(token_ids[i : i + 1], positions[i : i + 1], own_value)
        torch.testing.assert_close(alone[0], together[i])


def test_only_the_rows_asked_for_come_back_but_all_keys_are_stored() -> None:
    model = build_random_model(_CONFIG)
    token_ids = positions = torch.arange(7)
    whole, some = DenseAttend(), DenseAttend()
    hidden = model(token_ids, positions, whole)
    rows = torch.tensor([6, 2])
    torch.testing.assert_close(model(token_ids, positions, some, rows), hidden[rows])
    assert model(token_ids, positions, DenseAttend(), rows[:0]).shape == (0, hidden.shape[1])
    later = [torch.tensor([11]), torch.tensor([7])]
    torch.testing.assert_close(model(*later, some), model(*later, whole))


def test_everything_lands_on_the_requested_device(folder: Path) -> None:
    model = load_model(folder, device="meta", progress=False)
    tensors = [*model.parameters(), *model.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
