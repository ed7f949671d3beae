"""A tokenizer read by its library alone is the one that transformers reads."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer

from nanovllm_edu.errors import ModelLoadError, RequestError
from nanovllm_edu.fast_tokenizer import CLASSES, FastTokenizer
from nanovllm_edu.models.folder import TINY_DRAFT_FOLDER, TINY_MODEL_FOLDER
from nanovllm_edu.tokenizer import Tokenizer

TEXTS = (
    *("", "Once upon a time", " two  spaces\n\tand a tab "),
    *("naïve café 🙂 漢字 e\u0301", "<|im_end|>x"),
)


def changed(folder: Path, **settings: Any) -> Path:
    """A copy of the model in the box's tokenizer with other settings; None takes one away."""
    folder.mkdir(exist_ok=True)
    shutil.copy(TINY_MODEL_FOLDER / "tokenizer.json", folder)
    written = json.loads((TINY_MODEL_FOLDER / "tokenizer_config.json").read_text("utf-8"))
    written = {name: value for name, value in (written | settings).items() if value is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(written), "utf-8")
    return folder


def is_fast(folder: Path) -> bool:
    return isinstance(Tokenizer.load(folder)._tokenizer, FastTokenizer)


@pytest.mark.parametrize("folder", [TINY_MODEL_FOLDER, TINY_DRAFT_FOLDER])
def test_it_says_what_transformers_says(folder: Path) -> None:
    ours = Tokenizer.load(folder)
    theirs = Tokenizer(AutoTokenizer.from_pretrained(folder))
    assert isinstance(ours._tokenizer, FastTokenizer)
    assert ours.eos_token_ids == theirs.eos_token_ids
    assert ours.special_token_ids == theirs.special_token_ids
    assert ours.spelling == theirs.spelling
    assert ours.first_difference(theirs) is None
    for text in TEXTS:
        for adds in (True, False):
            token_ids = ours.encode(text, add_special_tokens=adds)
            assert token_ids == theirs.encode(text, add_special_tokens=adds)
            for skips in (True, False):
                assert ours.decode(token_ids, skip_special_tokens=skips) == theirs.decode(
                    token_ids, skip_special_tokens=skips
                )
    some = range(0, 2560, 7)
    assert [ours.token_bytes(i) for i in some] == [theirs.token_bytes(i) for i in some]
    assert json.loads(str(ours.to_json())) == json.loads(str(theirs.to_json()))


TEMPLATES = {
    "plain": "{% for m in messages %}<{{ m.role }}>{{ m['content'] }}</>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}",
    "trims": "{% for m in messages %}{{ m.content | trim }}|{% endfor %}",
    "named tokens": "{{ pad_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}"
    "{% endfor %}",
    "loop controls": "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
    "{{ m.content }}{% endfor %}",
    "json": "{# content #}{{ {'ä': '<&>'} | tojson }}"
    "{% for m in messages %}{{ m | tojson(indent=1) }}{% endfor %}",
    "generation": "{% for m in messages %}{%- generation -%}{{ m.content }}{% endgeneration %}"
    "{% endfor %}",
    "blocks": "{% for m in messages %}\n  {% if true %}\n{{ m.content }}\n  {% endif %}\n"
    "{% endfor %}",
    "variables": "{{ enable_thinking }}{{ tools }}{{ documents is none }}"
    "{% for m in messages %}{{ m.content }}{% endfor %}",
}
CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "user", "content": " Who?\n"}, {"role": "assistant", "content": "It is  "}],
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("goes_on", [False, True])
def test_templates_are_applied_as_by_transformers(
    tmp_path: Path, template: str, conversation: list, goes_on: bool
) -> None:
    folder = changed(tmp_path, chat_template=TEMPLATES[template])
    tokenizers = Tokenizer.load(folder), Tokenizer(AutoTokenizer.from_pretrained(folder))

    def prompt(tokenizer: Tokenizer) -> list[int] | str:
        try:
            return tokenizer.chat_prompt(
                conversation,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
                chat_template_kwargs={"enable_thinking": False},
            )
        except RequestError:
            return "refused"

    assert isinstance(tokenizers[0]._tokenizer, FastTokenizer)
    assert prompt(tokenizers[0]) == prompt(tokenizers[1])


def test_a_template_refuses(tmp_path: Path) -> None:
    folder = changed(tmp_path, chat_template="{{ raise_exception('no system message') }}")
    with pytest.raises(RequestError, match="no system message"):
        Tokenizer.load(folder).chat_prompt([{"role": "user", "content": "Hello"}])


@pytest.mark.parametrize(
    "settings",
    [
        {"tokenizer_class": "LlamaTokenizer"},
        {"tokenizer_class": None},
        {"add_bos_token": True},
        {"bos_token": "<|begin|>"},  # not in the vocabulary: transformers adds it
        {"eos_token": {"content": "<|im_end|>", "lstrip": True}},
        {"chat_template": [{"name": "default", "template": "x"}]},
        {"extra_special_tokens": {"image_token": "<image>"}},
    ],
)
def test_whatever_else_there_is_to_a_tokenizer_is_left_to_transformers(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: asked.append(1) or 1 / 0)
    with pytest.raises(ModelLoadError):
        Tokenizer.load(changed(tmp_path, **settings))
    assert asked


@pytest.mark.parametrize(
    "file", ["chat_template.jinja", "special_tokens_map.json", "added_tokens.json"]
)
def test_other_files_are_left_to_transformers(tmp_path: Path, file: str) -> None:
    folder = changed(tmp_path)
    assert is_fast(folder)
    (folder / file).write_text("{}")
    assert not is_fast(folder)


@pytest.mark.parametrize("name", CLASSES)
def test_a_tokenizer_that_is_its_file_goes_by_two_names(tmp_path: Path, name: str) -> None:
    assert is_fast(changed(tmp_path, tokenizer_class=name))


def test_padding_and_truncation_are_off(tmp_path: Path) -> None:
    folder = changed(tmp_path)
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(2)
    backend.enable_padding(length=40)
    backend.save(str(folder / "tokenizer.json"))
    text = "Once upon a time there was a river"
    assert Tokenizer.load(folder).encode(text) == Tokenizer.load(TINY_MODEL_FOLDER).encode(text)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (changed(tmp_path) / "tokenizer.json").write_text("{")
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_the_first_token_does_not_wait_for_transformers() -> None:
    code = (
        "import sys; from nanovllm_edu import LLM, SamplingParams;"
        "llm = LLM(device='cpu'); params = SamplingParams(max_tokens=1);"
        "llm.generate('Once', params, use_tqdm=False);"
        "llm.chat([{'role': 'user', 'content': 'Hello'}], params, use_tqdm=False);"
        "print('transformers' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
