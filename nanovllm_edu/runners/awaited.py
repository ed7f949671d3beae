"""`Awaited`: steps that were sent to somebody else, and whose outputs are yet to come.

One thread gives what arrives to who waits for it. So a wait can be interrupted at any moment, and
no output is lost between a wire and its ticket.

Read next: `runners/remote.py`, `runners/tensor_parallel.py`.
"""

from concurrent.futures import Future
from threading import Lock

from nanovllm_edu.core.plan import StepOutput
from nanovllm_edu.errors import DeviceLostError


class Awaited:
    """Outputs by their steps, until all that are left are lost at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._outputs: dict[int, Future[StepOutput]] = {}
        self.loss: DeviceLostError | None = None

    def expect(self, step_id: int) -> "Future[StepOutput]":
        """The output of a step that is about to be sent."""
        output: Future[StepOutput] = Future()
        with self._lock:
            if self.loss is None:
                self._outputs[step_id] = output
            else:
                output.set_exception(self.loss)
        return output

    def arrive(self, step_id: int, output: StepOutput) -> None:
        """It is here. Nobody may wait for it: a launch that was interrupted counts as none."""
        with self._lock:
            awaited = self._outputs.pop(step_id, None)
        if awaited is not None:
            awaited.set_result(output)

    def lose(self, loss: DeviceLostError) -> None:
        """No output will come any more."""
        with self._lock:
            self.loss = loss
            lost, self._outputs = self._outputs, {}
        for output in lost.values():
            output.set_exception(loss)
