"""A model in parts gives the logits of the whole, for any shape and any number of ranks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.layers.split import Ranks
from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.loader import load_model
from nanovllm_edu.models.shard import Shard
from nanovllm_edu.models.weight_files import StoredTensor
from tests.meeting import Threads, together
from tests.models.dense_attend import DenseAttend
from tests.models.random_configurations import random_configuration, store_at_random


def logits_of(folder: Path, ranks: Ranks | None = None) -> Tensor:
    """Of a prompt and of the token behind it."""
    model = load_model(folder, dtype=torch.float32, progress=False, ranks=ranks)
    tokens = torch.arange(3, 36) % model.config.vocab_size
    attend = DenseAttend()
    with torch.inference_mode():
        steps = [(tokens[:-1], torch.arange(32)), (tokens[-1:], torch.tensor([32]))]
        return torch.cat([model.logits(model(*step, attend)) for step in steps])


def fitting(config: Any) -> list[int]:
    """Numbers of ranks that can share the heads of a configuration."""
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    return [n for n in (2, 3, 4, 6, 9) if heads % n == 0 and (kv % n == 0 or n % kv == 0)]


SEEDS = [seed for seed in range(28) if fitting(random_configuration(seed).changes)]


@pytest.mark.parametrize("seed", SEEDS)
def test_parts_give_what_the_whole_gives(seed: int, tmp_path: Path) -> None:
    configuration = random_configuration(seed)
    configuration.save(tmp_path, seed)
    store_at_random(tmp_path, configuration, seed)
    whole = logits_of(tmp_path)
    for num_ranks in fitting(configuration.changes):
        parts = together(num_ranks, lambda rank, table: logits_of(tmp_path, Threads(rank, table)))
        for part in parts:
            assert torch.equal(part, parts[0])  # so each draws the same
        assert torch.allclose(parts[0], whole, atol=2e-4, rtol=1e-3)


def test_a_rank_reads_its_part_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = random_configuration(SEEDS[0])
    configuration.save(tmp_path, 0)
    num_read, read = [0], StoredTensor.read

    def counted(self: StoredTensor, slices: tuple[slice, ...] = ()) -> Tensor:
        part = read(self, slices)
        num_read[0] += part.numel()
        return part

    monkeypatch.setattr(StoredTensor, "read", counted)
    load_model(tmp_path, progress=False)
    whole, num_read[0] = num_read[0], 0
    num_ranks = fitting(configuration.changes)[0]
    load_model(tmp_path, progress=False, ranks=Ranks(0, num_ranks))
    assert whole / num_ranks < num_read[0] < 0.8 * whole  # norms are everybody's


SHAPE = ModelConfig(
    architecture="Qwen3ForCausalLM", vocab_size=103, hidden_size=32, num_layers=1, num_heads=8,
    num_kv_heads=2, head_dim=4, intermediate_size=50,
)  # fmt: skip


@pytest.mark.parametrize("num_ranks", [1, 2, 4, 8])
def test_every_row_and_column_is_somebodys(num_ranks: int) -> None:
    shards = [Shard(rank, num_ranks, SHAPE) for rank in range(num_ranks)]
    for name, axis, size in (
        ("lm_head.weight", 0, 103), ("q_proj.bias", 0, 32), ("gate_proj.weight", 0, 50),
        ("o_proj.weight", 1, 32), ("down_proj.weight", 1, 50),
    ):  # fmt: skip
        taken = [i for one in shards for i in range(size)[one.slices(f"model.{name}")[axis]]]
        assert taken == list(range(size)), name
    kv = [range(8)[one.slices("k_proj.weight")[0]] for one in shards]
    assert {len(rows) for rows in kv} == {max(1, 2 // num_ranks) * 4}
    assert sorted({i for rows in kv for i in rows}) == list(range(8))
    assert sum(one.slices("o_proj.bias") == () for one in shards) == 1


@pytest.mark.parametrize("num_ranks", [3, 5, 16])
def test_ranks_that_cannot_share_the_heads_are_refused(num_ranks: int) -> None:
    with pytest.raises(ConfigError, match="2 key-value heads; 1, 2, 4, 8 ranks can share them"):
        Shard(0, num_ranks, SHAPE)


def test_a_shard_says_what_it_has() -> None:
    assert Shard(1, 2, SHAPE).describe() == (
        "query heads 4 to 7, key-value head 1, MLP columns 25 to 49, vocabulary rows 52 to 102"
    )
    assert Shard(7, 8, SHAPE).describe().startswith("query head 7, key-value head 1, MLP ")
