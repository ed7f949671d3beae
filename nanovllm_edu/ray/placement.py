"""`placed`: what an engine must be told of the device that Ray gives its actor.

    num_gpus  0     it runs on a CPU, also where a GPU could be seen
              1     the whole of a GPU is its own
              0.5   half of one: Ray counts GPUs and watches no memory, so the pool needs a size
              2     several: the model is split among them

It needs no Ray. Read next: `ray/data.py`.
"""

from collections.abc import Mapping
from typing import Any

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.errors import ConfigError, shown


def placed(num_engines: int, num_gpus: float, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an engine in an actor.

    Args:
        num_engines: How many of them.
        num_gpus: Of each actor.
        options: Fields of `EngineConfig`.

    Raises:
        ConfigError: One is unknown or out of range, or they do not fit the GPUs.
    """
    EngineConfig.from_options(dict(options))  # told here, not by an actor that does not start
    if (as_integer(num_engines) or 0) < 1:
        raise ConfigError(f"num_engines={shown(num_engines)} is not an integer from 1 on.")
    if isinstance(num_gpus, bool) or not isinstance(num_gpus, (int, float)) or not num_gpus >= 0:
        raise ConfigError(
            f"num_gpus={shown(num_gpus)} is not a number from 0 on, such as 0.5 or 1."
        )
    if num_gpus == 0:
        return {"device": "cpu", **options}
    if num_gpus < 1 and options.get("num_blocks") is None:
        raise ConfigError(
            f"num_gpus={num_gpus}: engines that share a GPU would each take what is free of its "
            "memory; give num_blocks, so that all pools fit beside all weights."
        )
    num_parts = options.get("tensor_parallel_size", 1)
    if num_gpus > 1 and num_gpus != num_parts:
        raise ConfigError(
            f"num_gpus={num_gpus} and tensor_parallel_size={num_parts}: an engine uses as many "
            "GPUs as parts of its model; make them equal, or raise num_engines."
        )
    return dict(options)
