"""`Guided`: a branch to which people come, and from which they are taken, as its scenario says.

Read next: `introspect/branch.py`; `live/feed.py`, what a page is told of it.
"""

from collections.abc import Iterable

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.introspect.branch import Branch
from nanovllm_edu.introspect.journal import Aborted, Added, Entry
from nanovllm_edu.live.scenario import Abort, Arrival, Scenario
from nanovllm_edu.live.scenes import SYSTEM

CHAT = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
"""The chat template of the model in the box, without the package that reads templates."""


class Guided(Branch):
    """A branch that admits and ends requests by itself, each before its step.

    Args:
        branch: The engine with its recorder.
        scenario: Who comes and goes; it may grow.
        past: What happened of it already; of a fork, in its origin.
    """

    def __init__(self, branch: Branch, scenario: Scenario, past: Iterable[Entry] = ()) -> None:
        super().__init__(branch.recorder, branch.begin, branch.name)
        self.scenario = scenario
        self._num_arrived = self._num_ended = 0
        for entry in past:
            self._num_arrived += isinstance(entry, Added)
            self._num_ended += isinstance(entry, Aborted)

    @property
    def num_arrived(self) -> int:
        """So many of the scenario's requests are here, or have been."""
        return self._num_arrived

    @property
    def has_work(self) -> bool:
        """Whether anybody waits, runs or is still to come."""
        return self._num_arrived < len(self.scenario.arrivals) or super().has_work

    def advance_to(self, position: int) -> None:
        """Steps the engine until it has been there, or has nothing left to do."""
        while self.last < position and self.has_work:
            self.admit()
            self.recorder.step()

    def admit(self) -> None:
        """Whoever is due comes and goes. If nobody is here, the next ones are due."""
        now = self.last + 1
        arrivals = self.scenario.arrivals[self._num_arrived :]
        if arrivals and not super().has_work:
            now = max(now, arrivals[0].at)
        for arrival in arrivals:
            if arrival.at > now:
                break
            self._num_arrived += 1
            self.recorder.add_request(*request_of(arrival))
        for abort in self.scenario.aborts[self._num_ended :]:
            if abort.at > self.last + 1:
                break
            self._num_ended += 1
            self._end(abort)

    def _end(self, abort: Abort) -> None:
        """In a fork it may have finished already."""
        if abort.seq_id in self.recorder.engine.unfinished_seq_ids():
            self.recorder.abort_request(abort.seq_id)


def request_of(arrival: Arrival) -> tuple[str, SamplingParams]:
    """What an engine is asked for somebody."""
    params = SamplingParams(temperature=0, max_tokens=arrival.max_tokens)
    text = CHAT.format(SYSTEM, arrival.text) if arrival.is_question else arrival.text
    return text, params
