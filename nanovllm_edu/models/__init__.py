"""Models: from a folder or a name to a function of token ids, positions and `attend`.

Read `qwen3.py` first. `llama.py` is its relatives, `config.py` their sizes, and `registry.py`,
`folder.py`, `checkpoint.py` and `loader.py` get weights into them.
"""

from nanovllm_edu.models.config import ModelConfig
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.loader import build_random_model, load_model
from nanovllm_edu.models.registry import MODELS, read_config

__all__ = [
    "MODELS",
    "ModelConfig",
    "build_random_model",
    "load_model",
    "read_config",
    "resolve_model_folder",
]
