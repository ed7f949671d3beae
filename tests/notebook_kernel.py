"""A real kernel, as a notebook uses it."""

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel


class Kernel:
    """A process that runs cells.

    Attributes:
        manager: Who restarts, interrupts and ends it.
    """

    def __init__(self) -> None:
        self.manager: KernelManager
        self.client: BlockingKernelClient
        self.manager, self.client = start_new_kernel()

    def send(self, code: str, cell: str | None = None) -> str:
        """Sends a cell and does not wait for it; returns the message's name."""
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        message = self.client.session.msg("execute_request", content)
        message["metadata"] = {"cellId": cell} if cell else {}
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def result(self, sent: str) -> str:
        """The text of what came out of a cell; fails if the cell failed."""
        kind, text = self.outcome(sent)
        if kind == "error":
            pytest.fail(text)
        return text

    def outcome(self, sent: str) -> tuple[str, str]:
        """How a cell ended: "ok" and its result's text, or "error" and the traceback."""
        kind, text = "ok", ""
        while True:
            reply = self.client.get_iopub_msg(timeout=60)
            if reply["parent_header"].get("msg_id") != sent:
                continue
            if reply["msg_type"] == "error":
                kind, text = "error", "\n".join(reply["content"]["traceback"])
            if reply["msg_type"] == "execute_result":
                text = reply["content"]["data"]["text/plain"]
            if reply["msg_type"] == "status" and reply["content"]["execution_state"] == "idle":
                return kind, text

    def printed(self, sent: str) -> str:
        """The next thing that a running cell prints."""
        while True:
            reply = self.client.get_iopub_msg(timeout=60)
            if reply["parent_header"].get("msg_id") != sent:
                continue
            if reply["msg_type"] == "error":
                pytest.fail("\n".join(reply["content"]["traceback"]))
            if reply["msg_type"] == "stream":
                return reply["content"]["text"]

    @property
    def pid(self) -> int:
        """Of its process."""
        return getattr(self.manager.provisioner, "pid")  # noqa: B009, a provisioner need not have one

    def run(self, code: str, cell: str | None = None) -> str:
        """Runs a cell; returns the text of its result."""
        return self.result(self.send(code, cell))

    def close(self) -> None:
        """Ends it at once."""
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
