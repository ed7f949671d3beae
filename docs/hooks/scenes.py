"""The runs that the site shows: engine options, and who arrives when.

They are real: the model in the box, on the machine that builds the site.
"""

from dataclasses import dataclass, field

SYSTEM = (
    "You are Nano-vLLM, a small and friendly model. Answer in short and simple sentences. "
    "Explain technical terms in plain words."
)
STORIES = (
    "Once upon a time in Willow Bay",
    "One morning the baker",
    "It was a rainy day and",
    "Tell me a story about the harbour.",
)
LONG = (
    "Mira the baker has a plan for the spring fair. She wants to make bread, apple pie and soup "
    "for the whole village. First she asks the farmer for apples and milk. Then she asks the "
    "miller for flour. The fisherman brings two baskets of fish, and the gardener brings herbs "
    "and salt. In the evening all neighbours meet at the harbour, light the lamps and eat together."
)


@dataclass(frozen=True)
class Scene:
    """A run: engine options, and who arrives before which step."""

    title: str
    options: dict[str, object]
    arrivals: dict[int, tuple[object, ...]] = field(default_factory=dict)
    max_tokens: int = 48


def ask(question: str) -> list[dict[str, str]]:
    """A question under the system message that all share."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


def scenes() -> dict[str, Scene]:
    """All runs. The engine is imported here, so that reading the site's configuration is fast."""
    from nanovllm_edu import MixedPolicy, PhaseSeparatedPolicy
    from nanovllm_edu.live.scenes import FIVE

    late = {0: STORIES[:3], 8: (LONG,)}
    five, names = FIVE.scenario, ("block_size", "num_blocks", "max_num_batched_tokens")
    return {
        "five_people": Scene(
            FIVE.question,
            {name: five.options[name] for name in names},
            {0: tuple(ask(arrival.text) for arrival in five.arrivals)},
            max_tokens=five.arrivals[0].max_tokens,
        ),
        "shared_prompt": Scene(
            "One system message, five questions",
            {"block_size": 8, "num_blocks": 40, "max_num_batched_tokens": 64},
            {
                0: (ask("What is a KV cache?"),),
                3: (ask("What is preemption?"), ask("Who is the baker?")),
                8: (ask("What is chunked prefill?"), ask("What is LRU eviction?")),
            },
        ),
        "preemption": Scene(
            "Four stories in a pool that is too small",
            {"block_size": 8, "num_blocks": 20, "max_num_batched_tokens": 64},
            {0: STORIES},
            max_tokens=64,
        ),
        "chunked_mixed": Scene(
            "Mixed: the long prompt in pieces",
            {"block_size": 8, "num_blocks": 64, "max_num_batched_tokens": 24}
            | {"policy": MixedPolicy()},
            late,
            max_tokens=32,
        ),
        "chunked_phases": Scene(
            "Phase-separated: the long prompt at once",
            {"block_size": 8, "num_blocks": 64, "max_num_batched_tokens": 512}
            | {"policy": PhaseSeparatedPolicy()},
            late,
            max_tokens=32,
        ),
        "eviction": Scene(
            "A cached prompt is overwritten block by block",
            {"block_size": 8, "num_blocks": 16, "max_num_batched_tokens": 64},
            {
                0: (ask("What is a KV cache?"),),
                30: (STORIES[0],),
                90: (STORIES[1],),
                140: (ask("What is a KV cache?"),),
                180: (STORIES[2], STORIES[3]),
                240: (ask("What is a KV cache?"),),
            },
        ),
    }
