"""Engines for a page: the real one, around a runner that needs neither torch nor numpy.

    make_engine("checksum", num_blocks=24)    at once; its "model" is a hash
    make_engine("model", num_blocks=24)       the model in the box, once its weights are there

Both read text with the model's tokenizer, so a page can show the same prompts before and after the
weights have come.

Read next: `runners/browser/runner.py`.
"""

from functools import cache
from typing import Any, Literal

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from nanovllm_edu.plain_tokenizer import PlainTokenizer
from nanovllm_edu.runners.browser.decoder import PlainDecoder
from nanovllm_edu.runners.browser.runner import BrowserRunner
from nanovllm_edu.runners.browser.shape import read_shape
from nanovllm_edu.runners.browser.weights import read_weights
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.tokenizer import Tokenizer

Kind = Literal["checksum", "model"]

NUM_BLOCKS = 64
"""Unless a page asks for another number: as many as fit on a screen."""


def make_engine(kind: Kind = "checksum", **options: Any) -> LLMEngine:
    """An engine whose prompts may be text.

    Args:
        kind: What runs the steps.
        **options: Fields of `EngineConfig`.

    Raises:
        ConfigError: An option is unknown or out of range.
        ModelLoadError: The weights are not there yet.
    """
    config = EngineConfig.from_options({"num_blocks": NUM_BLOCKS, **options})
    shape, num_blocks = read_shape(TINY_MODEL_FOLDER), config.num_blocks or NUM_BLOCKS
    longest = config.max_model_len or shape.max_positions
    runner = (
        BrowserRunner(make_decoder(), num_blocks, config.block_size, max_model_len=longest)
        if kind == "model"
        else ChecksumRunner(
            num_blocks,
            config.block_size,
            vocab_size=shape.vocab_size,
            max_model_len=longest,
            eos_token_ids=shape.eos_token_ids,
        )
    )
    return LLMEngine(runner, config, make_tokenizer())


@cache
def make_tokenizer() -> Tokenizer:
    """The tokenizer of the model in the box."""
    return Tokenizer(PlainTokenizer.load(TINY_MODEL_FOLDER))


@cache
def make_decoder() -> PlainDecoder:
    """The model in the box: read once, shared by all engines.

    Raises:
        ModelLoadError: The weights are not there yet.
    """
    weights = read_weights(TINY_MODEL_FOLDER / "model.safetensors")
    return PlainDecoder(read_shape(TINY_MODEL_FOLDER), weights)
