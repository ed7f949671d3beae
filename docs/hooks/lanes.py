"""When the CPU and the GPU were at work, drawn to scale from `gpu_timeline.json`."""

from html import escape
from itertools import pairwise
from statistics import median

FIRST, COUNT = 10, 5
"""Which decode steps are drawn: when everything is warm."""
VERBS = {"plan": "cpu", "launch": "cpu-launch", "wait": "cpu-wait", "commit": "cpu-commit"}
LANE = 24


def timeline_page(report: dict) -> str:
    """`gpu_timeline.json`."""
    runs = {run["depth"]: _decode(run) for run in report["runs"]}
    span = max(_window(steps)[1] - _window(steps)[0] for steps in runs.values())
    parts = [
        "# CPU and GPU at work",
        f"{COUNT} decode steps of {runs[0][0]['num_seqs']} sequences, as they were timed on one "
        f"{report['gpu']}: the same engine, the same work, planned in another order. The shape is "
        "Qwen3-0.6B's. See [Architecture](../architecture.md) for the idea.",
    ]
    for depth, steps in runs.items():
        name = "step(), or run(depth=0)" if depth == 0 else f"run(depth={depth})"
        parts += [f"## `{name}`", _chart(depth, steps, span), _figures(steps)]
    parts += [
        "## How it was measured",
        "The host's times are the clock's around each verb, the device's those of CUDA events "
        f"around each launch. {report['date']}, {report['gpu']}: `{report['command']}`.",
    ]
    return "\n\n".join(parts)


def _decode(run):
    return [step for step in run["steps"] if step["kind"] == "decode"]


def _window(steps):
    """From the first plan that is drawn to the last commit."""
    shown = steps[FIRST : FIRST + COUNT]
    return min(step["plan"][0] for step in shown), max(step["commit"][1] for step in shown)


def _figures(steps):
    """How long a step took, and for how much of it the device had work."""
    period = median(b["device"][1] - a["device"][1] for a, b in pairwise(steps))
    busy = median(step["device"][1] - step["device"][0] for step in steps)
    host = median(s["plan"][1] - s["plan"][0] + s["commit"][1] - s["commit"][0] for s in steps)
    return (
        f"A step every **{period / 1e3:.2f} ms**. The device is at work for {busy / 1e3:.2f} ms "
        f"of them, **{min(busy / period, 1):.0%}**; plan and commit take {host / 1e3:.2f} ms of "
        "Python."
    )


def _chart(depth, steps, span):
    begin, _ = _window(steps)
    boxes = []
    for step in steps:
        for name, kind in VERBS.items():
            boxes += _box(step[name], begin, span, 0, kind, f"{name} {step['step_id']}")
        boxes += _box(step["device"], begin, span, LANE + 8, "gpu", f"step {step['step_id']}")
    words = (
        f"Timeline with depth {depth}: the upper lane shows plan, launch, wait and commit on the "
        f"CPU, the lower one the GPU at work. {_figures(steps).replace('*', '')}"
    )
    lanes = "".join(
        f'<rect class="lane" x="0" y="{y}" width="100%" height="{LANE}" rx="3"/>'
        for y in (0, LANE + 8)
    )
    return (
        f'<figure class="drawn lanes"><svg role="img" aria-label="{escape(words)}" width="100%" '
        f'height="{2 * LANE + 8}">{lanes}{"".join(boxes)}</svg><figcaption>'
        '<span class="key cpu"></span>plan <span class="key cpu-launch"></span>launch '
        '<span class="key cpu-wait"></span>wait <span class="key cpu-commit"></span>commit '
        f'<span class="key gpu"></span>GPU at work; {span / 1e3:.1f} ms in all</figcaption>'
        "</figure>"
    )


def _box(times, begin, span, y, kind, title):
    """A rectangle from one time to another, if it is in the window; its title names it."""
    x0, x1 = (max(0, min(1, (time - begin) / span)) * 100 for time in times)
    if x1 <= x0:
        return []
    return [
        f'<rect class="{kind}" x="{x0:.2f}%" y="{y}" width="{max(x1 - x0, 0.15):.2f}%" '
        f'height="{LANE}"><title>{escape(title)}</title></rect>'
    ]
