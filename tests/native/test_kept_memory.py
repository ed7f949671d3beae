"""What a step frees stays, so that the next one need not fill it with zeros first."""

import os
import platform
import subprocess
import sys

import pytest

from nanovllm_edu.native.kept_memory import SETTINGS, keep_freed_memory

WORK = """
import resource, sys
from array import array
from nanovllm_edu.native.kept_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step = [bytearray(20 << 20) for _ in range(4)]
    del step
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults_of_a_step(how: str) -> int:
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", WORK, how], env=clean, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is asked of glibc")
def test_memory_is_not_asked_for_again():
    assert faults_of_a_step("keep") < 100 < 10_000 < faults_of_a_step("as it is")


def test_who_has_decided_is_not_overruled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    keep_freed_memory.cache_clear()
    try:
        assert not keep_freed_memory()
    finally:
        keep_freed_memory.cache_clear()
