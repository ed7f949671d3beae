"""A small Ray of this machine: started once for the tests that need it, and ended with them."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

if find_spec("ray"):
    with warnings.catch_warnings(action="ignore"):  # theirs are not ours
        import ray.data
        import ray.serve


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Two CPUs and little memory, for nobody but these tests."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_raylet_start_wait_time_s="60")
    for is_last in (False, False, True):
        try:
            context = ray.init(
                num_cpus=2,
                object_store_memory=150 * 2**20,
                include_dashboard=False,
                log_to_driver=False,
            )
            break
        except Exception:  # on a busy machine Ray's own agent is not there within its 15 seconds
            ray.shutdown()
            if is_last:
                raise
    yield context
    ray.shutdown()


@pytest.fixture
def kill(cluster: Any) -> Callable[[str], int]:
    """Kills one process of this Ray's actors of a class, as if its machine were lost."""
    session = Path(cluster.address_info["session_dir"]).name

    def kill(name: str) -> int:
        deadline = monotonic() + 60
        while not (found := _processes(session, name)) and monotonic() < deadline:
            sleep(0.1)
        os.kill(found[0], signal.SIGKILL)
        return found[0]

    return kill


def _processes(session: str, name: str) -> list[int]:
    """Workers of a session that have an actor of this name: Ray puts it into their title."""
    titles: dict[int, str] = {}
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            titles[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:  # it has just ended
            continue
    return [
        process
        for process, title in titles.items()
        if title.startswith(f"ray::{name}") and session in titles.get(parents.get(process, 0), "")
    ]
