"""The modules of the view are honest ES modules, and what is joined from them is one."""

import re
from collections import Counter
from pathlib import Path

import nanovllm_edu.viewer
from nanovllm_edu.viewer.source import (
    IMPORT,
    MODULES,
    module_source,
    viewer_script,
    viewer_style,
)

EXPORT = re.compile(r"^export (?:class|function|const) (\w+)", re.MULTILINE)
TOP_LEVEL = re.compile(r"^(?:export )?(?:class|function|const|let) (\w+)", re.MULTILINE)


def test_every_module_is_shipped():
    folder = Path(nanovllm_edu.viewer.__file__).parent / "js"
    assert {path.stem for path in folder.iterdir()} == set(MODULES)


def test_each_imports_what_it_uses_from_modules_before_it():
    exported: dict[str, set[str]] = {}
    for name in MODULES:
        source = module_source(name)
        body, imports = IMPORT.sub("", source), IMPORT.findall(source)
        assert len(imports) == len(re.findall(r"^import ", source, re.MULTILINE)), name
        imported = {word for words, _ in imports for word in words.split(", ")}
        for words, origin in imports:
            assert set(words.split(", ")) <= exported.get(origin, set()), (name, origin)
        known = set().union(*exported.values()) if exported else set()
        used = {word for word in known if re.search(rf"(?<![.\w'])\b{word}\(", body)}
        assert used <= imported | set(TOP_LEVEL.findall(body)), (name, used - imported)
        assert {word for word in imported if not re.search(rf"\b{word}\b", body)} == set(), name
        exported[name] = set(EXPORT.findall(source))


def test_no_two_modules_claim_a_name():
    script = viewer_script()
    names = Counter(TOP_LEVEL.findall(script))
    for line in re.findall(r"^const (\w+ = [^\n{\[(]*);", script, re.MULTILINE):
        names.update(re.findall(r", (\w+) = ", line))  # const A = 1, B = 2;
    assert [name for name, number in names.items() if number > 1] == []


def test_the_joined_module_loads_nothing():
    text = viewer_script() + viewer_style()
    assert not re.search(r"^import |import\(|@import|url\(", text, re.MULTILINE)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text.count("export default") == 1
