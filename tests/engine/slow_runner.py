"""A device that waits for leave before each step: a test decides what happens between two."""

import threading
from typing import Any

from nanovllm_edu.runners.checksum import ChecksumRunner


class SlowRunner(ChecksumRunner):
    """Each launch takes one from `leave`; `num_launches` counts those that asked for it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.leave = threading.Semaphore(0)
        self.num_launches = 0

    def launch(self, plan: Any) -> Any:
        self.num_launches += 1
        assert self.leave.acquire(timeout=20)
        return super().launch(plan)
