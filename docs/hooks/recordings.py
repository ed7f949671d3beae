"""Runs the engine, records it, and adds each recording to the site: a self-contained page, a file.

`{{ recording preemption }}` embeds one, `{{ side_by_side one another }}` two that move together,
`{{ waits one another }}` compares how long their requests waited, `{{ run gpu_run }}` says what was
run. The runs of `scenes.py` are kept in .cache/site until they, the engine or the viewer change;
recordings of other machines are files.
"""

import re
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import median

from embedding import ROOT, add, cached, fingerprint, frame
from mkdocs.utils import get_relative_url
from scenes import Scene, scenes

FILES = {
    "gpu_run": (ROOT / "benchmarks" / "results" / "gpu_run.json.gz", "A run on a real GPU"),
}
"""Recording -> where it is stored, and its title. It may be missing: its page says so."""
DIRECTIVE = re.compile(r"^\{\{ (recording|side_by_side|waits|run) ([\w ]+) \}\}$", re.MULTILINE)
MISSING = (
    '!!! info "Not recorded yet"\n\n'
    "    There is no `{path}` yet. On a machine with a GPU, `python benchmarks/record_gpu.py` "
    "makes it, and this page then shows it."
)


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


@cache
def recordings():
    """Name -> recording, of all that there are."""
    from nanovllm_edu.introspect import load
    from nanovllm_edu.introspect.decoder import decode

    here = Path(__file__)
    documents = cached("recordings", fingerprint(here, here.with_name("scenes.py")), _perform_all)
    found = {name: decode(document) for name, document in documents.items()}
    return found | {name: load(p) for name, (p, _) in FILES.items() if p.exists()}


def _perform_all():
    from nanovllm_edu.introspect.codec import encode

    perform(Scene("", {}, {0: ("The first step of a process is slow.",)}, max_tokens=2))
    return {name: encode(perform(scene)) for name, scene in scenes().items()}


def titles() -> dict[str, str]:
    """Recording -> title."""
    made = {name: scene.title for name, scene in scenes().items()}
    return made | {name: title for name, (_, title) in FILES.items()}


def on_files(files, config):
    """Adds a page and a file for every recording."""
    from nanovllm_edu.introspect.storage import to_json
    from nanovllm_edu.introspect.view import encode_view
    from nanovllm_edu.viewer.page import to_page

    names = titles()
    for name, recording in recordings().items():
        page = to_page(encode_view(recording), names[name], home="../../index.html")
        add(files, config, page_name(name), page, to_json(recording))
    return files


def on_page_markdown(markdown, page, files, **_):
    """Replaces each directive."""
    return DIRECTIVE.sub(lambda match: _shown(match[1], match[2].split(), page.file), markdown)


def page_name(name: str) -> str:
    """Where a recording lies in the site."""
    return f"watch/recordings/{name}.html"


def _shown(kind, names, file):
    for name in names:
        if name not in titles():
            raise LookupError(f"{file.src_uri} shows the recording {name!r}, which does not exist")
        if name not in recordings():
            where = FILES[name][0].relative_to(ROOT)
            return MISSING.format(path=where) if kind == "recording" else ""
    match kind:
        case "recording":
            return _frame(names[0], file)
        case "side_by_side":
            return _side_by_side(names, file)
        case "waits":
            return waits_table(names)
    return run_table(names[0])


def _frame(name, file):
    return frame(get_relative_url(page_name(name), file.url), titles()[name])


def _side_by_side(names, file):
    """Two frames that show the same step; `assets/site.js` links them."""
    figures = "\n".join(
        f"<div>\n<h2>{escape(titles()[name])}</h2>\n{_frame(name, file)}\n</div>" for name in names
    )
    return f'<div class="side-by-side">\n{figures}\n</div>'


# ----------------------------------------------------------------------- what a run came to


def waits_table(names):
    """In steps, which are the same on every machine: who waited, and how large a step became."""
    rows = [
        "| | first token of the late prompt | longest gap between two tokens of the others "
        "| largest step |",
        "|---|---:|---:|---:|",
    ]
    for name in names:
        first, gap, largest = waits(recordings()[name])
        shown = f"after {first} {_steps(first)} | {gap} {_steps(gap)} | {largest} tokens"
        rows.append(f"| {titles()[name]} | {shown} |")
    return "\n".join(rows)


def _steps(number):
    return "step" if number == 1 else "steps"


def waits(recording):
    """Steps to the last request's first token and between two of the others; the largest step."""
    late = max(recording.requests)
    arrival = next(i for i, r in enumerate(recording) if late in r.spans.seq_ids)
    steps_of = {
        seq_id: [i for i, record in enumerate(recording) if seq_id in record.new_tokens]
        for seq_id in recording.requests
    }
    gaps = [b - a for i in steps_of if i != late for a, b in pairwise(steps_of[i])]
    return steps_of[late][0] - arrival + 1, max(gaps), max(r.num_tokens for r in recording)


def run_table(name):
    """What was run, and how long its decode steps took, from one commit to the next."""
    from nanovllm_edu.core.step_record import kind_of
    from nanovllm_edu.introspect.journal import Stepped

    recording = recordings()[name]
    engine, records = recording.engine, recording.records
    ends = [entry.seconds for entry in recording.journal if isinstance(entry, Stepped)]
    decode = [
        i for i in range(1, len(records)) if all(kind_of(s) == "decode" for s in records[i].spans)
    ]
    periods = [ends[i] - ends[i - 1] for i in decode]
    host = [records[i].timings["plan"] + records[i].timings["commit"] for i in decode]
    generated = sum(len(tokens) for record in records for tokens in record.new_tokens.values())
    rows = [
        ("engine", f"{engine['runner']}, {engine['policy']}"),
        ("cache", f"{engine['num_blocks']:,} blocks of {engine['block_size']} tokens"),
        ("requests", f"{len(recording.requests)}, with {generated:,} generated tokens"),
        ("steps", f"{len(records)}, of which {len(decode)} decode only"),
        ("a decode step", f"{median(periods) * 1e3:.2f} ms, the middle one of all"),
        ("its plan and commit", f"{median(host) * 1e3:.2f} ms of Python"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)])
