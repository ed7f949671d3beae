"""Models at the other end of a wire, for tests: here in threads, or in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nanovllm_edu.core.model_runner import ModelRunner
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.serve.address import Address
from nanovllm_edu.serve.model_host import ModelHost, hello_of
from tests.engine.engines import engine

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def hosting(
    runner: ChecksumRunner | None = None,
    *,
    port: int = 0,
    keys: tuple[str, ...] = (),
    **options: Any,
) -> Iterator[ModelHost]:
    """A host whose model is a checksum."""
    llm = engine(runner, **options)
    with ModelHost(llm.runner, hello_of(llm, {}), Address(port=port), keys) as host:
        yield host


PROCESS = """
import sys
from nanovllm_edu.serve.address import Address
from tests.runners.hosts import hosting

with hosting(port=int(sys.argv[1])) as host:
    print(host.url, flush=True)
    sys.stdin.read()
"""


class HostProcess:
    """A host in a process that can be killed. It ends with its owner, too."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-c", PROCESS, str(port)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.communicate()


def port_of(host: ModelHost) -> int:
    return int(host.url.rpartition(":")[2])


__all__ = ["HostProcess", "ModelRunner", "hosting", "port_of"]
