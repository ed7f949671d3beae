"""What each kind of event is called where there is room for one word.

Read next: `introspect/view.py` and `cli/step_view.py`, which show events.
"""

from nanovllm_edu.core.events import (
    Admitted,
    BlockEvicted,
    BlocksAllocated,
    BlocksCached,
    BlocksFreed,
    DraftFailed,
    DraftVerified,
    Event,
    Finished,
    Preempted,
    PrefixHit,
    PromptShared,
)

LABELS: dict[type[Event], str] = {
    Admitted: "admit",
    PrefixHit: "match",
    PromptShared: "share",
    BlocksAllocated: "allocate",
    BlocksCached: "cache",
    BlockEvicted: "evict",
    BlocksFreed: "free",
    Preempted: "preempt",
    DraftVerified: "verify",
    DraftFailed: "no guess",
    Finished: "finish",
}
