"""`Session`: the engine behind a page, in verbs that take and return JSON-ready values.

Every verb that changes something returns an *update*: for each branch (the engine, and its fork if
there is one) what is new as the viewer's module takes it, where both stand, and the link that leads
here again.

Going back needs no verb: the page has every step. Read next: `live/guided.py`, what is driven;
`live/judging.py`, what a learner wrote; `live/answers.py`, how a page asks.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from nanovllm_edu.core.request.option_checks import as_integer
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import ConfigError, RequestError, shown
from nanovllm_edu.introspect.branch import Branch, Branches, fork_branch
from nanovllm_edu.introspect.recorder import Recorder
from nanovllm_edu.introspect.rewind import Rewinder
from nanovllm_edu.introspect.storage import to_json
from nanovllm_edu.introspect.view import encode_view
from nanovllm_edu.live.engine import Kind, make_engine
from nanovllm_edu.live.feed import Feeds
from nanovllm_edu.live.guided import Guided, request_of
from nanovllm_edu.live.judging import Beat, check, score, silent, written_policy
from nanovllm_edu.live.narrator import Narrator, menu
from nanovllm_edu.live.options import (
    changed_fields,
    checked_options,
    engine_options,
)
from nanovllm_edu.live.scenario import MAX_ARRIVALS, MAX_STEPS, Abort, Scenario, checked_arrival
from nanovllm_edu.viewer.page import to_page

Update = dict[str, Any]


class Session:
    """One engine that one page drives.

    Args:
        beat: Called while a learner's policy is at work, whenever it is asked.
    """

    def __init__(self, beat: Beat = silent) -> None:
        self._beat = beat
        self._begun: Branches[Guided] | None = None

    # ---------------------------------------------------------------------- the verbs

    def menu(self) -> dict[str, Any]:
        """What there is to choose from: see `live/narrator.py`."""
        return menu()

    def start(
        self,
        link: str = "",
        kind: Kind = "checksum",
        options: Mapping[str, Any] | None = None,
        scene: str = "",
    ) -> Update:
        """Begins a scenario anew.

        Args:
            link: The scenario; without one it is empty.
            kind: What runs the steps.
            options: Other options than the scenario's.
            scene: A name of `SCENES`, whose captions are told.

        Raises:
            ConfigError: The link, or an option, is wrong.
            RequestError: A prompt does not fit the engine.
            ModelLoadError: The weights are not there yet.
        """
        if kind not in get_args(Kind):
            raise ConfigError(f"kind={shown(kind)} is not one of {', '.join(get_args(Kind))}.")
        scenario = Scenario.from_link(link) if link != "" else Scenario()
        asked = {} if options is None else checked_options(options)
        scenario = replace(scenario, options={**scenario.options, **asked})
        engine = make_engine(kind, **engine_options(scenario.options))
        with make_engine("checksum", **engine_options(scenario.options)) as rehearsal:
            requests = [request_of(arrival) for arrival in scenario.arrivals]
            rehearsal.add_requests(requests)  # refuses now what would be refused in mid-run
        narrator = Narrator(scene)
        num_steps, scenario = scenario.num_steps, replace(scenario, num_steps=0)
        self._rewinder, self._kind = Rewinder(engine), kind
        self._begun = Branches(Guided(Branch(Recorder(engine)), scenario))
        self._feeds, self._narrator = Feeds(self._begun), narrator
        self._driven.main.admit()
        self._driven.advance_to(num_steps - 1)
        return self._update()

    def step(self) -> Update:
        """One step of each branch; nothing if nothing is left to do."""
        if self._driven.last + 1 >= MAX_STEPS:
            raise RequestError(f"{MAX_STEPS} steps are enough for one page; start again.")
        records = self._advance_to(self._driven.last + 1)
        newest = self._driven.main.record(self._driven.last)
        caption = self._narrator.tell(newest) if records and newest else None
        return self._update(caption)

    def add(self, text: str, max_tokens: int = 32, is_question: bool = True) -> Update:
        """Somebody asks now, in the fork too.

        Raises:
            ConfigError: The prompt is empty or too long.
            RequestError: It does not fit the engine, or too many have asked.
        """
        main, scenario = self._driven.main, self._driven.main.scenario
        if len(scenario.arrivals) == MAX_ARRIVALS:
            raise RequestError(f"{MAX_ARRIVALS} prompts are enough for one page; start again.")
        arrival = checked_arrival(main.last + 1, max_tokens, text, bool(is_question))
        with make_engine("checksum", **engine_options(scenario.options)) as rehearsal:
            rehearsal.add_requests([request_of(arrival)])
        here = main.num_arrived
        arrivals = (*scenario.arrivals[:here], arrival, *scenario.arrivals[here:])
        self._go_on(replace(scenario, arrivals=arrivals))
        return self._update()

    def abort(self, seq_id: int) -> Update:
        """Ends a sequence, in the fork too.

        Raises:
            RequestError: It does not wait or run.
        """
        main, scenario = self._driven.main, self._driven.main.scenario
        number = as_integer(seq_id)
        if number not in main.recorder.engine.unfinished_seq_ids():
            raise RequestError(
                f"sequence {shown(seq_id)} neither waits nor runs; choose one that does."
            )
        abort = Abort(main.last + 1, number)
        self._go_on(replace(scenario, aborts=(*scenario.aborts, abort)))
        return self._update()

    def fork(self, at: int, options: Mapping[str, Any], source: str = "") -> Update:
        """A copy goes on from step `at`, side by side.

        Args:
            at: -1 is the moment before the first step.
            options: What is other there.
            source: A policy that a learner wrote, for the fork.

        Raises:
            ConfigError: No such step, or an option is wrong.
            RecordingError: The steps up to there cannot be repeated.
            Wrong: The source is no policy.
        """
        main = self._driven.main
        number = as_integer(at)
        if number is None or not -1 <= number <= main.last:
            raise ConfigError(f"step {shown(at)} is not in [-1, {main.last}], the steps so far.")
        asked = checked_options(options)
        names = [name for name in asked if asked[name] != main.scenario.options[name]]
        changes = changed_fields(main.scenario.options, {name: asked[name] for name in names})
        told = [f"{name}={asked[name]}" for name in names]
        if source != "":
            changes["policy"] = written_policy(source, self._beat)
            told.append(type(changes["policy"]).__name__)
        fork = fork_branch(main, self._rewinder, number, changes)
        fork.name = f"fork with {', '.join(told) or 'no change'}"
        past = main.recorder.recording.begin(number).journal
        self._drop_fork()
        self._driven.fork = Guided(fork, main.scenario, past)
        self._driven.since = number + 1
        self._advance_to(main.last)
        return self._update()

    def close_fork(self) -> Update:
        """Goes on with the engine alone."""
        self._drop_fork()
        return self._update()

    def page(self) -> str:
        """Everything so far as one HTML page that works alone."""
        recording = self._driven.main.recorder.recording
        return to_page(encode_view(recording), "An engine in the browser, step by step")

    def recording(self) -> str:
        """Everything so far as the JSON that `introspect.load` reads."""
        return to_json(self._driven.main.recorder.recording)

    def check(self, exercise_id: str, source: str, seed: int | None = None) -> dict[str, Any]:
        """Whether what a learner wrote is right: see `live/judging.py`."""
        return check(exercise_id, source, self._beat, seed)

    def score(self, source: str) -> dict[str, Any]:
        """A learner's policy in the arena: see `live/judging.py`."""
        return score(source, self._beat)

    # ------------------------------------------------------------------------- inside

    @property
    def _driven(self) -> Branches[Guided]:
        if self._begun is None:
            raise RequestError("nothing is begun yet; start a scenario first.")
        return self._begun

    def _go_on(self, scenario: Scenario) -> None:
        for branch in self._driven:
            branch.scenario = scenario
            branch.admit()

    def _advance_to(self, last: int) -> list[StepRecord]:
        try:
            return self._driven.advance_to(last)
        except BaseException:
            self._drop_fork()  # a learner's policy that fails goes; the engine goes on
            raise

    def _drop_fork(self) -> None:
        fork, self._driven.fork = self._driven.fork, None
        if fork is not None:
            fork.recorder.engine.close()

    def _update(self, caption: dict[str, Any] | None = None) -> Update:
        main = self._driven.main
        here = replace(main.scenario, num_steps=main.last + 1)
        return {
            **self._feeds.news(),
            "kind": self._kind,
            "options": dict(main.scenario.options),
            "link": here.to_link(),
            "caption": caption,
            "captions_left": self._narrator.num_left,
        }
