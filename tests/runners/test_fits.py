"""What cannot be there is refused before it is allocated, with what would fit."""

from typing import Any

import pytest
import torch

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.errors import ConfigError, OutOfDeviceMemoryError
from nanovllm_edu.llm import LLM
from nanovllm_edu.runners.memory import check_fits

CPU = torch.device("cpu")


@pytest.mark.parametrize("options", [{"num_blocks": 10**9}, {"block_size": 10**9}])
def test_a_cache_larger_than_the_machine_is_a_typed_error(options: Any) -> None:
    with pytest.raises(OutOfDeviceMemoryError, match=r"this machine has .* blocks; lower one"):
        LLM("tiny", **options)


def test_too_many_rows_are_refused_with_the_number_that_fits() -> None:
    config = EngineConfig(max_num_seqs=2**20, num_blocks=4)
    with pytest.raises(
        OutOfDeviceMemoryError, match=r"Beside these blocks \d+ rows would fit"
    ) as e:
        check_fits(config, CPU, block_bytes=1024, max_model_len=10**6)
    num_rows = int(str(e.value).split("Beside these blocks ")[1].split()[0])
    check_fits(EngineConfig(max_num_seqs=num_rows, num_blocks=4), CPU, 1024, 10**6)


def test_rows_without_end_are_refused_by_the_option_itself() -> None:
    for max_num_seqs in (2**20 + 1, 10**10, 10**5000):
        with pytest.raises(
            ConfigError, match=r"max_num_seqs=.* is (above|not below) \d+.*lower it"
        ):
            EngineConfig(max_num_seqs=max_num_seqs)
