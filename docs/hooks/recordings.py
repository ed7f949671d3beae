"""Runs the engine, records it, and adds each recording to the site as a self-contained page.

`{{ recording preemption }}` embeds one. The runs are real: the model in the box, on the machine
that builds the site. They are kept in .cache/site until the engine, the viewer or this file
changes.
"""

import gzip
import json
import re
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from pathlib import Path, PurePosixPath

from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "site"
STORED = ROOT / "docs" / "recordings"
DIRECTIVE = re.compile(r"^\{\{ recording (\w+) \}\}$", re.MULTILINE)
LESSONS = {"05": "shared_prompt", "07": "chunked_mixed", "08": "preemption"}
"""Lesson -> the recording that its page ends with."""

SYSTEM = (
    "You are Nano-vLLM, a small and friendly model. Answer in short and simple sentences. "
    "Explain technical terms in plain words."
)
STORIES = (
    "Once upon a time in Willow Bay",
    "One morning the baker",
    "It was a rainy day and",
    "Tell me a story about the harbour.",
)
LONG = (
    "Mira the baker has a plan for the spring fair. She wants to make bread, apple pie and soup "
    "for the whole village. First she asks the farmer for apples and milk. Then she asks the "
    "miller for flour. The fisherman brings two baskets of fish, and the gardener brings herbs "
    "and salt. In the evening all neighbours meet at the harbour, light the lamps and eat together."
)


@dataclass(frozen=True)
class Scene:
    """A run: engine options, and who arrives before which step."""

    title: str
    options: dict[str, object]
    arrivals: dict[int, tuple[object, ...]] = field(default_factory=dict)
    max_tokens: int = 48


def ask(question: str) -> list[dict[str, str]]:
    """A question under the system message that all share."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


def scenes() -> dict[str, Scene]:
    """All runs. The engine is imported here, so that reading the site's configuration is fast."""
    from nanovllm_edu import MixedPolicy, PhaseSeparatedPolicy

    late = {0: STORIES[:3], 8: (LONG,)}
    return {
        "shared_prompt": Scene(
            "One system message, five questions",
            {"block_size": 8, "num_blocks": 40, "max_num_batched_tokens": 64},
            {
                0: (ask("What is a KV cache?"),),
                3: (ask("What is preemption?"), ask("Who is the baker?")),
                8: (ask("What is chunked prefill?"), ask("What is LRU eviction?")),
            },
        ),
        "preemption": Scene(
            "Four stories in a pool that is too small",
            {"block_size": 8, "num_blocks": 20, "max_num_batched_tokens": 64},
            {0: STORIES},
            max_tokens=64,
        ),
        "chunked_mixed": Scene(
            "Mixed: the long prompt in pieces",
            {"block_size": 8, "num_blocks": 64, "max_num_batched_tokens": 24}
            | {"policy": MixedPolicy()},
            late,
            max_tokens=32,
        ),
        "chunked_phases": Scene(
            "Phase-separated: the long prompt at once",
            {"block_size": 8, "num_blocks": 64, "max_num_batched_tokens": 512}
            | {"policy": PhaseSeparatedPolicy()},
            late,
            max_tokens=32,
        ),
        "eviction": Scene(
            "A cached prompt is overwritten block by block",
            {"block_size": 8, "num_blocks": 16, "max_num_batched_tokens": 64},
            {
                0: (ask("What is a KV cache?"),),
                30: (STORIES[0],),
                90: (STORIES[1],),
                140: (ask("What is a KV cache?"),),
                180: (STORIES[2], STORIES[3]),
                240: (ask("What is a KV cache?"),),
            },
        ),
    }


def perform(scene: Scene):
    """Runs a scene to its end and returns the recording."""
    from nanovllm_edu import LLM, SamplingParams
    from nanovllm_edu.introspect import Recorder

    params = SamplingParams(temperature=0, max_tokens=scene.max_tokens)
    with LLM(device="cpu", **scene.options) as llm:
        recorder, pending = Recorder(llm), dict(sorted(scene.arrivals.items()))
        while pending or llm.engine.has_unfinished_requests():
            is_idle = not llm.engine.has_unfinished_requests()
            while pending and (is_idle or next(iter(pending)) <= len(recorder)):
                is_idle = False
                for prompt in pending.pop(next(iter(pending))):
                    is_chat = not isinstance(prompt, str)
                    tokens = llm.tokenizer.chat_prompt(prompt) if is_chat else prompt
                    recorder.add_request(tokens, params)
            recorder.step()
        return recorder.recording


def on_files(files, config):
    """Adds a page for every recording, those of docs/recordings/ too."""
    for name, page in {**performed(), **stored()}.items():
        files.append(File.generated(config, page_name(name), content=page))
    return files


def on_page_markdown(markdown, page, files, **_):
    """Replaces each directive by a frame."""
    return DIRECTIVE.sub(lambda match: frame(match[1], page.file, files), markdown)


def on_page_content(html, page, files, **_):
    """A lesson about something that can be watched ends with its recording."""
    path = PurePosixPath(page.file.src_uri)
    name = LESSONS.get(path.name[:2]) if path.suffix == ".ipynb" else None
    return html if name is None else f"{html}\n<h2>Watch it</h2>\n{frame(name, page.file, files)}"


def frame(name, file, files):
    """The element that shows a recording, and a link for those who want it alone."""
    target = files.get_file_from_path(page_name(name))
    if target is None:
        raise LookupError(f"{file.src_uri} embeds the recording {name!r}, which does not exist")
    url, title = get_relative_url(target.url, file.url), escape(titles()[name])
    return (
        f'<iframe class="recording" src="{url}" title="{title}" loading="lazy"></iframe>\n'
        f'<p class="recording-link"><a href="{url}" target="_blank" rel="noopener">'
        "Open the recording on a page of its own</a></p>"
    )


def page_name(name: str) -> str:
    return f"watch/recordings/{name}.html"


def titles() -> dict[str, str]:
    """Recording -> title."""
    return {name: scene.title for name, scene in scenes().items()} | {
        path.name.removesuffix(".json.gz"): path.name.removesuffix(".json.gz").replace("_", " ")
        for path in STORED.glob("*.json.gz")
    }


def performed() -> dict[str, str]:
    """Pages of the scenes, from the cache if nothing they depend on has changed."""
    cached = CACHE / f"recordings-{fingerprint()}.json.gz"
    if not cached.exists():
        from nanovllm_edu.introspect.html_export import to_html

        pages = {name: to_html(perform(scene), scene.title) for name, scene in scenes().items()}
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob("recordings-*"):
            old.unlink(missing_ok=True)
        cached.write_bytes(gzip.compress(json.dumps(pages).encode()))
        return pages
    return json.loads(gzip.decompress(cached.read_bytes()))


def stored() -> dict[str, str]:
    """Pages of recordings that were made elsewhere, such as on a GPU."""
    from nanovllm_edu.introspect.html_export import to_html
    from nanovllm_edu.introspect.recording import Recording

    names = titles()
    paths = {path.name.removesuffix(".json.gz"): path for path in sorted(STORED.glob("*.json.gz"))}
    return {name: to_html(Recording.load(path), names[name]) for name, path in paths.items()}


def fingerprint() -> str:
    """Changes when a recording or its page could."""
    digest = sha256(Path(__file__).read_bytes())
    package = ROOT / "nanovllm_edu"
    for folder in ("core", "introspect", "widgets", "runners", "models", "attention", "sampling"):
        for path in sorted((package / folder).glob("*.*")):
            digest.update(path.read_bytes())
    digest.update((package / "engine.py").read_bytes())
    digest.update((package / "tiny" / "model" / "model.safetensors").read_bytes())
    return digest.hexdigest()[:16]
