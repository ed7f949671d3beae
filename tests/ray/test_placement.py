import pytest

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.ray.placement import placed


def test_without_a_gpu_an_engine_is_told_to_run_on_a_cpu():
    assert placed(2, 0, {"block_size": 8}) == {"device": "cpu", "block_size": 8}
    assert placed(2, 0, {"device": "cuda"}) == {"device": "cuda"}


def test_a_whole_gpu_a_part_of_one_and_several():
    assert placed(1, 1, {}) == {}
    assert placed(4, 0.25, {"num_blocks": 100}) == {"num_blocks": 100}
    assert placed(1, 2, {"tensor_parallel_size": 2}) == {"tensor_parallel_size": 2}


@pytest.mark.parametrize(
    ("num_engines", "num_gpus", "options", "why"),
    [
        (0, 0, {}, "num_engines=0"),
        ("two", 0, {}, "num_engines='two'"),
        (1, -1, {}, "num_gpus=-1"),
        (1, float("nan"), {}, "num_gpus=nan"),
        (1, "1", {}, "num_gpus='1'"),
        (1, 0.5, {}, "give num_blocks"),
        (1, 2, {}, "tensor_parallel_size=1"),
        (1, 0, {"blocks": 3}, "unknown option blocks"),
    ],
)
def test_what_does_not_fit_is_refused_before_an_actor_starts(num_engines, num_gpus, options, why):
    with pytest.raises(ConfigError, match=why):
        placed(num_engines, num_gpus, options)
