"""The package in a real browser's Python: what it imports, its tokenizer, and its tokens."""

from collections.abc import Callable
from random import Random
from urllib.parse import urlsplit

import pytest

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from nanovllm_edu.tokenizer import Tokenizer
from tests.live.conftest import WHERE
from tests.test_byte_pairs import KINDS
from tests.test_without_torch import contract

pytestmark = pytest.mark.browser

MAX_TOKENS = 16
PROMPTS = [
    f"{start} {rest}"
    for start in ("Once upon a time", "The", "Why does", "1 + 1 =", "def main():")
    for rest in (
        "there was a small cat", "a token is", "paged attention", "1, 2, 3,", "if it rains",
        "the cache", "é and ü", "and then", "", "<|im_end|>",
    )
]  # fmt: skip

IMPORT_ALL = """
import sys
from importlib import import_module
from pkgutil import walk_packages

for name in names:
    package = import_module(name)
    for found in walk_packages(getattr(package, "__path__", []), f"{name}."):
        import_module(found.name)
json.dumps(sorted({name.partition(".")[0] for name in sys.modules}))
"""
ENCODE = """
from nanovllm_edu.live.engine import make_tokenizer

tokenizer = make_tokenizer()
found = [tokenizer.encode(text) for text in texts]
json.dumps([[token_ids, tokenizer.decode(token_ids)] for token_ids in found])
"""
GENERATE = """
from nanovllm_edu import SamplingParams
from nanovllm_edu.live.engine import make_engine

engine = make_engine("model", num_blocks=256)
params = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
seqs = engine.add_requests((prompt, params) for prompt in prompts)
for _ in engine.run():
    engine.scheduler.check_invariants()
json.dumps([seq.output_token_ids for seq in seqs])
"""


def test_all_of_the_contract_can_be_imported(in_browser: Callable):
    modules = set(in_browser(IMPORT_ALL, names=contract()["source_modules"]))
    assert "nanovllm_edu" in modules
    assert not modules & set(contract()["forbidden_modules"])


def test_the_tokenizer_equals_the_real_one(in_browser: Callable):
    real = Tokenizer.load(TINY_MODEL_FOLDER)
    texts = [KINDS[kind](Random(f"{kind} {seed}")) for kind in KINDS for seed in range(300, 340)]
    found = in_browser(ENCODE, texts=texts)
    for text, (token_ids, decoded) in zip(texts, found, strict=True):
        assert token_ids == real.encode(text), repr(text)
        assert decoded == real.decode(token_ids), repr(text)


def test_fifty_prompts_get_the_tokens_of_the_cpu_engine(in_browser: Callable):
    assert len(set(PROMPTS)) == 50
    params = SamplingParams(temperature=0, max_tokens=MAX_TOKENS, ignore_eos=True)
    with LLM(device="cpu", num_blocks=256) as llm:
        right = [output.token_ids for output in llm.generate(PROMPTS, params, use_tqdm=False)]
    assert in_browser(GENERATE, prompts=PROMPTS, max_tokens=MAX_TOKENS) == right


def test_all_that_was_asked_for_lies_in_the_folder(
    in_browser: Callable, requested: list[str], address: str
):
    paths = {urlsplit(url).path.removeprefix(f"{WHERE}/live/") for url in requested}
    assert {"pyodide/pyodide.asm.wasm", "nanovllm_edu.zip", "weights.zip"} <= paths
    assert all(url.startswith((f"{address}/", "data:", "blob:")) for url in requested), requested
