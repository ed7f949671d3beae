"""How fast does virtual time pass? 100,000 requests through one engine on one core.

    python benchmarks/virtual_speed.py

Prompts of 100 to 400 tokens and answers of 100 to 400, so 500 tokens a request, in 256 rows on a
virtual H200 that always has somebody waiting. Requests are drawn as they come and answers dropped
as they end. A window of the run is recorded on the way. Results go to
`benchmarks/results/virtual_speed.md`.
"""

import argparse
import os
import platform
import resource
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from host_cost import NUM_SEQUENCES, _decode

from nanovllm_edu.introspect import Recorder, load, save
from nanovllm_edu.runners.machine import processor
from nanovllm_edu.virtual.arrivals import poisson
from nanovllm_edu.virtual.calibration import shipped
from nanovllm_edu.virtual.runner import virtual_engine
from nanovllm_edu.virtual.serving import Server, turns
from nanovllm_edu.virtual.summary import Summary

RESULTS = Path(__file__).parent / "results"
WINDOW = range(1000, 1200)
"""Steps that are recorded."""
QUIET_US = 1.2
"""Microseconds a row of a decode step takes on this kind of machine when it does nothing else
(`results/scheduler.md`): by how much it is slower now says how busy it is."""


def run(count: int, window: Path) -> tuple[Summary, float, int]:
    """What came of it, CPU seconds, and steps."""
    engine = virtual_engine(
        shipped("h200"), 1024, block_size=256, max_num_seqs=256, max_num_batched_tokens=4096
    )
    server, summary = Server(engine), Summary()
    arrivals = poisson(1000, count, (100, 400), (100, 400), seed=1)
    begin, step = time.process_time(), 0
    for step, answers in enumerate(turns(server, arrivals, max_waiting=32), 1):
        for answer in answers:
            summary.add(answer)
        if step == WINDOW.start:
            server.recorder = Recorder(engine)
        elif step == WINDOW.stop and server.recorder is not None:
            save(server.recorder.recording, window)
            server.recorder = None
    return summary, time.process_time() - begin, step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    count = parser.parse_args().requests
    before = decode_microseconds()
    with TemporaryDirectory() as folder:
        window = Path(folder) / "window.json.gz"
        summary, seconds, num_steps = run(count, window)
        num_recorded, size = len(load(window)), window.stat().st_size
    slow = (before + decode_microseconds()) / 2 / QUIET_US
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = summary.num_tokens
    text = f"""# How fast virtual time passes

{count:,} requests of about 500 tokens in 256 rows: {seconds:.0f} s of one core, which was
{slow:.1f} times as slow as without other work (load {os.getloadavg()[1]:.1f}, two cores): about
{seconds / slow:.0f} s on a quiet one. The goal is 120.

| | |
|---|---:|
| virtual seconds | {summary.end:,.0f} |
| steps | {num_steps:,} |
| generated tokens | {rows:,} |
| microseconds a generated token | {1e6 * seconds / rows:.2f} |
| most memory, MiB | {memory:,.0f} |
| a window of {num_recorded} steps, recorded and read back, MB | {size / 1e6:.2f} |

```text
{summary!r}
```

{date.today()}, {processor()}, Python {platform.python_version()}. Command:
`python benchmarks/virtual_speed.py`.
"""
    (RESULTS / "virtual_speed.md").write_text(text)
    print(text)


def decode_microseconds() -> float:
    """CPU time of a row of a decode step, now."""
    return 1e6 * _decode(False) / NUM_SEQUENCES


if __name__ == "__main__":
    main()
