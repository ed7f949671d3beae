"""The scenes of the page: a situation each, and what to notice when it happens.

A caption waits for an event, not for a step: it is shown when the engine really does what it says,
whatever runs the steps, and with the engine's own sentence.

Read next: `live/narrator.py`, which tells them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nanovllm_edu.core.events import (
    Admitted,
    BlocksCached,
    BlocksFreed,
    Event,
    Finished,
    Preempted,
    PrefixHit,
)
from nanovllm_edu.core.plan import Blocked
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.live.options import DEFAULTS
from nanovllm_edu.live.scenario import Arrival, Scenario

SYSTEM = (
    "You are Nano-vLLM, a small and friendly model. Answer in short and simple sentences. "
    "Explain technical terms in plain words."
)
"""In front of every question."""
LONG = (
    "Mira the baker has a plan for the spring fair. She wants to make bread, apple pie and soup "
    "for the whole village. First she asks the farmer for apples and milk. Then she asks the "
    "miller for flour. The fisherman brings two baskets of fish, and the gardener brings herbs "
    "and salt. In the evening all neighbours meet at the harbour, light the lamps and eat together."
)

Moment = Callable[[StepRecord], Event | Blocked | None]
"""Finds what a caption is about in a step."""


@dataclass(frozen=True, slots=True)
class Caption:
    """What to notice, and when it is there to be seen."""

    moment: Moment
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A scenario with captions.

    Attributes:
        title: On its button.
        question: What to ask yourself.
        scenario: The situation.
        captions: In the order in which they come true.
    """

    title: str
    question: str
    scenario: Scenario
    captions: tuple[Caption, ...]


def first(kind: type[Event], is_meant: Callable[..., bool] = lambda event: True) -> Moment:
    """The first event of a kind that is meant."""

    def find(record: StepRecord) -> Event | None:
        events = (event for event in record.events if isinstance(event, kind))
        return next((event for event in events if is_meant(event)), None)

    return find


def waits_for(resource: str) -> Moment:
    """Somebody waits for this."""
    return lambda r: r.blocked if r.blocked and r.blocked.resource == resource else None


def _scenario(*arrivals: Arrival, **options: object) -> Scenario:
    return Scenario({**DEFAULTS, **options}, arrivals)


FIVE = Scene(
    "Five people at once",
    "Five people ask one model at once. Who gets memory?",
    _scenario(
        Arrival(0, 40, "What is a KV cache?"),
        Arrival(0, 40, "Who is the baker?"),
        Arrival(0, 40, "What is preemption?"),
        Arrival(0, 40, "Tell me a story about the harbour."),
        Arrival(0, 40, "What is a block table?"),
        num_blocks=16,
    ),
    (),
)
SHARED = Scene(
    "A shared prefix",
    "The same instructions stand in front of every question. Are they computed every time?",
    _scenario(
        Arrival(0, 32, "What is a KV cache?"),
        Arrival(4, 32, "What is preemption?"),
        Arrival(6, 32, "Who is the baker?"),
        num_blocks=40,
    ),
    (
        Caption(
            first(BlocksCached),
            "The first question comes alone. Nothing of it is known, so all of its tokens go "
            "through the model, the instructions too. From now on its full blocks can be found.",
        ),
        Caption(
            first(PrefixHit, lambda event: event.num_tokens > 0),
            "The second question begins with the same instructions, and their blocks are taken as "
            "they are: used by two, computed once.",
        ),
        Caption(
            first(PrefixHit, lambda event: event.num_tokens > 0),
            "So does the third. In the pool, a block with several colours has several users.",
        ),
        Caption(
            first(BlocksFreed, lambda event: any(event.ref_counts)),
            "One answer is done. The shared blocks stay, because others use them; its own are "
            "free, and can still be found until somebody needs the room.",
        ),
    ),
)
MEMORY = Scene(
    "Memory runs out",
    "All of them could start. Can all of them grow?",
    _scenario(
        Arrival(0, 64, "Once upon a time in Willow Bay", is_question=False),
        Arrival(0, 64, "One morning the baker", is_question=False),
        Arrival(0, 64, "It was a rainy day and", is_question=False),
        Arrival(0, 64, "The old fisherman looked at the sea", is_question=False),
        num_blocks=20,
    ),
    (
        Caption(
            first(Admitted),
            "Four stories begin. Each gets blocks for what it has now, and none for what it may "
            "become: nobody knows how long it gets.",
        ),
        Caption(
            first(Preempted),
            "The pool is full, and somebody needs one block more. The latest comer gives way: it "
            "keeps its words and loses its blocks.",
        ),
        Caption(
            waits_for("blocks"),
            "It waits at the head of the queue until there is room for all of its tokens.",
        ),
        Caption(
            first(Finished),
            "A story is finished and gives its blocks back. That is what the others waited for.",
        ),
        Caption(
            first(Admitted),
            "Back again. What is still cached is found, the rest is computed once more, and the "
            "story goes on with the same words as if nothing had happened.",
        ),
    ),
)
LONG_PROMPT = Scene(
    "A long prompt among short ones",
    "Three people read their answers. Then a long prompt comes. Must they wait for it?",
    _scenario(
        Arrival(0, 32, "Once upon a time in Willow Bay", is_question=False),
        Arrival(0, 32, "One morning the baker", is_question=False),
        Arrival(0, 32, "It was a rainy day and", is_question=False),
        Arrival(6, 24, LONG, is_question=False),
        num_blocks=64,
        max_num_batched_tokens=24,
    ),
    (
        Caption(
            first(Admitted),
            "Three short prompts start together. A step computes at most 24 tokens.",
        ),
        Caption(
            first(Admitted, lambda event: event.num_planned_tokens < event.num_tokens),
            "The long prompt does not fit into one step. It gets what the others leave, in pieces: "
            "that is chunked prefill.",
        ),
        Caption(
            first(Finished, lambda event: event.seq_id < 3),
            "The others got a token in every step, and one of them is done. Look at the timeline: "
            "no gap in their rows.",
        ),
    ),
)
SCENES = {"five": FIVE, "prefix": SHARED, "memory": MEMORY, "long": LONG_PROMPT}
"""Name -> scene. The first one is where the page begins; it is for playing, and has no captions."""
