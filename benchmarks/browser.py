"""The engine in a browser: how soon it is there, how fast it is, how many bytes it takes.

    python benchmarks/browser.py

Builds the folder of the live page, serves it on the loopback, and opens it again and again in one
window of headless Chromium. The first visit finds an empty cache, the others what the ones before
have left there. Each visit starts Python in a worker, makes an engine, and then measures steps. The
processor time of all of Chromium's processes is given too: other work on the same machine disturbs
it less than the clock. Prints a table and writes benchmarks/results/browser.md.
"""

import os
import runpy
import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.conftest import CHROMIUM_FLAGS  # noqa: E402
from tests.loopback import served  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "browser.md"
BUILD = runpy.run_path(str(ROOT / "docs" / "live" / "build.py"))
NUM_VISITS = 7

WORKER = """
import { startPython, loadWeights } from "./python.js";

const times = {}, begin = performance.timeOrigin;
const note = (name) => { times[name] = performance.timeOrigin + performance.now() - begin; };
const python = await startPython();
note("Python has started, the package is unpacked");
python.runPython("from nanovllm_edu.live.engine import make_engine");
note("it is imported");
python.runPython("make_engine('checksum')");
note("an engine on the checksum runner is ready");
await loadWeights(python);
note("the weights are here and unpacked");
python.runPython("make_engine('model')");
note("an engine on the model is ready");
const code = await (await fetch("measure.py")).text();
addEventListener("message", () => postMessage(JSON.parse(python.runPython(code))));
postMessage(times);
"""
PAGE = """<!doctype html><title>Benchmark</title><script type="module">
const worker = new Worker("measure.js", { type: "module" });
const told = () => new Promise((done, fail) => {
  worker.onmessage = ({ data }) => done(data);
  worker.onerror = ({ message }) => fail(new Error(message));
});
window.times = told();
window.measured = () => (worker.postMessage("begin"), told());
</script>"""
MEASURE = '''
import json
from statistics import median
from time import perf_counter

from nanovllm_edu import SamplingParams
from nanovllm_edu.introspect import Recorder
from nanovllm_edu.live.engine import make_engine


def seconds_of_steps(kind, size, num_tokens=64):
    """Of steps in which `size` sequences decode; the recorder's share is not counted."""
    engine = make_engine(kind, num_blocks=64)
    params = SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True)
    prompts = [f"Once upon a time there were {i} cats" for i in range(size)]
    engine.add_requests((prompt, params) for prompt in prompts)
    engine.step()
    seconds = []
    while engine.has_unfinished_requests():
        begin = perf_counter()
        engine.step()
        seconds.append(perf_counter() - begin)
    return median(seconds)


json.dumps({
    "alone": 1 / seconds_of_steps("model", 1),
    "eight": 8 / seconds_of_steps("model", 8),
    "checksum": 1e3 * seconds_of_steps("checksum", 8),
})
'''


def visits(address: str) -> list[dict[str, Any]]:
    """What each visit found."""
    system = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=system, args=CHROMIUM_FLAGS)
        context, session = browser.new_context(), browser.new_browser_cdp_session()

        def busy() -> float:
            processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
            return sum(process["cpuTime"] for process in processes)

        found = []
        for _ in range(NUM_VISITS):
            page = context.new_page()
            page.wait_for_timeout(500)  # until the blank page has nothing more to do
            before = busy()
            page.goto(f"{address}/measure.html")
            visit = {"times": page.evaluate("times"), "busy": busy() - before}
            found.append(visit | {"measured": page.evaluate("measured()")})
            page.close()
        browser.close()
    return found


def size_of(folder: Path, *names: str) -> float:
    """Megabytes of all files, or of some of them."""
    found = [folder / name for name in names] or folder.rglob("*")
    return sum(path.stat().st_size for path in found if path.is_file()) / 1e6


def table(rows: list[tuple[str, ...]]) -> str:
    """As Markdown; the first row is its header, and numbers stand right."""
    rule = ("---", *["---:"] * (len(rows[0]) - 1))
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def report(found: list[dict[str, Any]], sizes: list[tuple[str, ...]]) -> str:
    """The page of results."""
    cold, *warm = found

    def middle(name: str) -> float:
        return median(visit["measured"][name] for visit in found)

    speed = [
        ("what", "measured", "goal"),
        ("one sequence, tokens per second", f"{middle('alone'):.0f}", "≥ 40"),
        ("eight sequences, tokens per second", f"{middle('eight'):.0f}", "≥ 150"),
        ("a step of eight on the checksum runner", f"{middle('checksum'):.2f} ms", "≤ 16 ms"),
    ]
    start = [("seconds until", "cache is warm", "cache is empty", "goal")]
    for name in cold["times"]:
        seconds = median(visit["times"][name] for visit in warm) / 1e3
        goal = "≤ 5 s" if "is ready" in name else ""
        start.append((name, f"{seconds:.2f} s", f"{cold['times'][name] / 1e3:.2f} s", goal))
    busy = median(visit["busy"] for visit in warm)
    start.append(("processor time until then", f"{busy:.2f} s", f"{cold['busy']:.2f} s", ""))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        "# The engine in a browser\n\n"
        "Python and the kernels as WebAssembly in headless Chromium, in a worker, everything from "
        f"one folder. `python benchmarks/browser.py`, {os.cpu_count()} cores, load average {load}, "
        f"{date.today()}, Pyodide {BUILD['PYODIDE']}. Medians of {NUM_VISITS} visits in one "
        "window; the first one finds an empty cache, and is left out where the cache is warm.\n\n"
        "## How fast it is\n\nThe model in the box, greedy, decode steps only.\n\n"
        f"{table(speed)}\n\n"
        "## How soon it is there\n\nCounted from the moment in which the worker begins; each line "
        f"includes those above it.\n\n{table(start)}\n\n"
        "Most of it is Pyodide itself: its 10 MB of WebAssembly are compiled, and Python starts in "
        "them. Where the load is above the number of cores, the clock shows others' work, too; "
        "processor time, that of all of Chromium's processes, does not.\n\n"
        f"## How large it is\n\n{table(sizes)}\n"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        BUILD["build"](folder)
        pyodide = sorted(f"pyodide/{path.name}" for path in (folder / "pyodide").iterdir())
        sizes = [
            ("what", "size", "goal"),
            ("Python for the browser", f"{size_of(folder, *pyodide):.2f} MB", ""),
            ("the package", f"{size_of(folder, 'nanovllm_edu.zip', 'xxhash.whl'):.2f} MB", ""),
            ("the model's weights", f"{size_of(folder, 'weights.zip'):.2f} MB", ""),
            ("all of the folder", f"{size_of(folder):.2f} MB", "≤ 20 MB"),
        ]
        (folder / "measure.js").write_text(WORKER)
        (folder / "measure.html").write_text(PAGE)
        (folder / "measure.py").write_text(MEASURE)
        with served(folder) as address:
            text = report(visits(address), sizes)
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
