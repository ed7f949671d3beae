"""The Python of the pages runs as it stands."""

import re
import runpy

import pytest

from nanovllm_edu import LRU, ChecksumRunner, LLMEngine
from tests.docs.site_pages import ROOT

PAGES = (
    *("index", "watch/index", "use/sampling", "use/serve", "use/extend", "use/predict"),
    *("use/replicas", "reference/events"),
)


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_run(name, tmp_path, monkeypatch):
    """In one namespace, top to bottom; what a reader brings along is there."""
    text = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert examples
    engine = LLMEngine(ChecksumRunner(num_blocks=8, block_size=4))
    engine.add_request([1, 2, 3])
    known = {"MyPolicy": LRU, "engine": engine}
    monkeypatch.chdir(tmp_path)
    for number, example in enumerate(examples):
        file = tmp_path / f"example_{number}.py"
        file.write_text(example)
        known |= runpy.run_path(str(file), init_globals=known)
