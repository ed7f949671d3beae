"""Pages of the benchmarks that write JSON: what was measured, drawn, and with what.

Goals and published figures are read from the benchmark that compares with them. Whatever a file
holds beyond what is drawn is shown as a table.
"""

import ast
import json
from functools import partial
from pathlib import Path

from bars import Bar, chart, number
from lanes import timeline_page

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def constant(script: str, name: str):
    """The value of a literal constant of a benchmark, without running it."""
    for node in ast.parse((BENCHMARKS / script).read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and name in [getattr(t, "id", "") for t in node.targets]:
            return ast.literal_eval(node.value)
    raise LookupError(f"benchmarks/{script} has no constant {name}")


def machine_table(machine: dict) -> str:
    """Where and how it was measured."""
    rows = []
    for name, value in machine.items():
        if name == "command":
            value = f"`{' '.join(str(value).split())}`"
        elif isinstance(value, dict):
            value = "<br>".join(f"{key}: {text}" for key, text in value.items())
        elif isinstance(value, float):
            value = number(value)
        rows.append(f"| {name.replace('_', ' ')} | {str(value).replace('|', '/')} |")
    return "\n".join(["| | |", "|---|---|", *rows])


def table(value):
    """Nested values, a row each."""
    rows = [f"| {name} | {text} |" for name, text in _flat(value)]
    return "\n".join(["| | |", "|---|---|", *rows])


def _flat(value, prefix=""):
    """Nested values as rows; long lists of raw measurements are summed up by their length."""
    if isinstance(value, dict):
        return [
            row for key, part in value.items() for row in _flat(part, f"{prefix} {key}".strip())
        ]
    if isinstance(value, list) and len(value) > 8:
        return [(prefix, f"{len(value)} values")]
    shown = f"{value:,.4g}" if isinstance(value, float) else str(value)
    return [(prefix.replace("_", " "), shown.replace("|", "\\|"))]


# ------------------------------------------------------------------------------------ the GPU


DEFAULT_SHAPE = "qwen3-0.6b"
DRAWN = {"machine", "main", "small", "prefill", "long", "prefix", "records"}


def gpu_page(report: dict, shape: str = DEFAULT_SHAPE) -> str:
    """`gpu.json`, or that of another shape."""
    published = constant("gpu.py", "OTHERS")[shape]
    heading = "# GPU benchmark" if shape == DEFAULT_SHAPE else f"# GPU benchmark: {shape}"
    parts = [heading, _gpu_headline(report)]
    for draw in (_gpu_main, _gpu_decode, _gpu_prompts, _gpu_records):
        parts += draw(report, published)
    for name, value in report.items():
        if name not in DRAWN and "vllm" not in name.lower():
            parts += [f"## {name.replace('_', ' ').capitalize()}", table(value)]
    parts += [
        "## How it was measured",
        f"Shape of {shape}, random weights, bfloat16. The *floor* is the time to read every "
        "weight once and every live sequence's keys and values once per step, at the copy "
        "bandwidth that the same run measured. *Goal* is what we aim at. Figures of other "
        "engines were measured on one H200 beforehand, with the versions named, unless they say "
        "*in the same run*.",
        machine_table(report["machine"]),
    ]
    return "\n\n".join(part for part in parts if part)


def _gpu_headline(report):
    main = report.get("main")
    if not main:
        return ""
    return (
        f"256 requests with 133,966 output tokens take **{main['seconds']:.2f} s** on one "
        f"{report['machine']['gpu']}: **{main['tokens_per_second']:,.0f} tokens/s**, "
        f"{main['floor_fraction']:.0%} of what the memory allows."
    )


def _gpu_main(report, published):
    if "main" not in report:
        return []
    main = report["main"]
    bars = [
        Bar("this engine", main["seconds"], "ours"),
        Bar("floor", main["floor_seconds"], "floor"),
        *_published(published["main"]),
        *_same_run(report),
    ]
    return ["## 256 requests at once", chart("main", "Seconds; less is better.", "s", {"": bars})]


def _same_run(report):
    """Other engines that ran on the same machine right before or after ours."""
    return [
        Bar(name.replace("_vllm", "-vllm"), entry["seconds"], "other", "in the same run")
        for name, entry in report.items()
        if "vllm" in name.lower() and isinstance(entry, dict) and "seconds" in entry
    ]


def _gpu_decode(report, published):
    batches = constant("gpu.py", "BATCHES")
    groups = {
        f"{size} sequence{'s' * (int(size) > 1)}": [
            Bar("this engine", entry["ms"], "ours"),
            Bar("floor", entry["floor_ms"], "floor"),
            *_published(
                {who: v[batches.index(int(size))] for who, v in published["small"].items()}
            ),
        ]
        for size, entry in report.get("small", {}).items()
    }
    if not groups:
        return []
    caption = "Milliseconds of a decode step, by the number of sequences in it; less is better."
    return ["## A decode step", chart("decode", caption, "ms", groups)]


def _gpu_prompts(report, published):
    names = {
        "prefill": "Prefill of 256 prompts",
        "long": "Prefill of 32 prompts of 16,384 tokens",
        "prefix": "256 requests on a warm prefix",
    }
    groups = {
        title: [
            Bar("this engine", report[key]["seconds"], "ours"),
            *_published(published.get(key, {})),
        ]
        for key, title in names.items()
        if key in report
    }
    if not groups:
        return []
    return ["## Prompts", chart("prompts", "Seconds; less is better.", "s", groups)]


def _gpu_records(report, _):
    if "records" not in report:
        return []
    return [
        "## Keeping every record",
        f"Recording keeps every `StepRecord`. The run above with all of them kept takes "
        f"**{report['records']['cost']:+.1%}** (goal: at most 2%).",
    ]


def _published(figures):
    known = {who: value for who, value in figures.items() if value is not None}
    goal = [Bar("goal", known.pop("goal"), "target")] if "goal" in known else []
    return goal + [Bar(who, value, "other") for who, value in known.items()]


# ------------------------------------------------------------------------------------ the CPU


def cpu_page(report: dict) -> str:
    """`cpu.json`."""
    targets = constant("cpu.py", "TARGETS")
    contests = report["contests"]
    parts = ["# CPU benchmark", _cpu_headline([r for c in contests for r in c["results"]])]
    for i, contest in enumerate(contests):
        parts += _cpu_contest(f"cpu-{i}", contest, targets[contest["workload"]])
    parts += [
        "## How it was measured",
        "64 requests at once, 16 to 256 prompt tokens and 16 to 256 tokens to generate, greedy, "
        "float32. Runs alternate; a ratio is the median of the ratios of neighbouring runs.",
        *_cpu_facts(contests),
    ]
    return "\n\n".join(part for part in parts if part)


def _cpu_headline(results):
    best = [r for r in results if "generate" in r["who"] and r["ours_is_faster_by"]]
    ratios = [min(r["ours_is_faster_by"] for r in best)] if best else []
    return (
        f"Against the best setting of Hugging Face `generate` the engine is at least "
        f"**{ratios[0]:.2f} times** as fast."
        if ratios
        else ""
    )


def _cpu_facts(contests):
    """How it was measured: a table for the contests that have all but the load in common."""
    groups = {}
    for contest in contests:
        facts = contest["machine"] | contest["engine"]
        load = f"{facts.pop('load_at_start'):.1f}"
        name = f"{contest['model']}, {contest['workload']}"
        groups.setdefault(json.dumps(facts), []).append((name, load))
    for facts, members in groups.items():
        names, loads = zip(*members, strict=True)
        yield f"**{' · '.join(names)}**"
        yield machine_table(json.loads(facts) | {"load at start": " · ".join(loads)})


def _cpu_contest(name, contest, target):
    bars = [
        Bar(
            "this engine" if entry["who"] == "ours" else entry["who"],
            entry["tokens_per_second"],
            "ours" if entry["who"] == "ours" else "other",
            _cpu_note(entry),
        )
        for entry in contest["results"]
        if entry["tokens_per_second"]
    ]
    if not bars:
        return []
    caption = (
        f"Output tokens per second; more is better. Goal: {target} times the best "
        "setting of generate."
    )
    size = f"{contest['parameters'] / 1e6:.1f} million parameters"
    model = "The model in the box" if contest["model"] == "tiny" else "A random model"
    title = f"## {model} ({size}), {contest['workload']} prompts"
    return [title, chart(name, caption, "tokens/s", {"": bars})]


def _cpu_note(entry):
    ratio = entry["ours_is_faster_by"]
    notes = [f"ours is {ratio:.2f}x"] if ratio and entry["who"] != "ours" else []
    return " · ".join([*notes, *([entry["note"]] if entry["note"] else [])])


PAGES = {"gpu": gpu_page, "cpu": cpu_page, "gpu_timeline": timeline_page}
PAGES |= {
    f"gpu_{shape}": partial(gpu_page, shape=shape)
    for shape in constant("gpu.py", "OTHERS")
    if shape != DEFAULT_SHAPE
}
"""Stem of a JSON file -> what draws it."""
