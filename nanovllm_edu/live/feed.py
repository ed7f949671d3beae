"""What a page is told: for each branch what is new, and where both stand.

Read next: `introspect/view.py`, whose entries these are; `viewer/js/replay.js`, which takes them.
"""

from itertools import islice
from typing import Any

from nanovllm_edu.introspect.branch import Branch, Branches
from nanovllm_edu.introspect.breakpoints import breakpoints_at
from nanovllm_edu.introspect.view import View
from nanovllm_edu.live.guided import Guided


class Feed:
    """Tells one page what is new in a branch, as `viewer/js/replay.js` takes it."""

    def __init__(self, branch: Branch) -> None:
        self.branch = branch
        self._view: View | None = None
        self._num_entries = self._num_pieces = 0

    def news(self) -> dict[str, Any]:
        """At first the whole document, then the entries and pieces of text that came since."""
        recording = self.branch.recorder.recording
        first, first_piece = self._num_entries, self._num_pieces
        self._num_entries, self._num_pieces = len(recording.journal), len(recording.pieces)
        if self._view is None:
            self._view = View(recording)
            return {"document": self._view.document()}
        self._view.extend(recording)
        pieces = recording.pieces
        new = {str(i): pieces[i] for i in islice(pieces, first_piece, None)}
        return {"entries": self._view.entries[first:], "pieces": new}


class Feeds:
    """Tells one page of an engine and its fork.

    Args:
        driven: Both.
    """

    def __init__(self, driven: Branches[Guided]) -> None:
        self._driven = driven
        self._feeds = [Feed(driven.main)]
        self._num_told = 0

    def news(self) -> dict[str, Any]:
        """As JSON-ready values; what was told before is left out."""
        driven = self._driven
        known = {feed.branch: feed for feed in self._feeds}
        self._feeds = [known.get(branch) or Feed(branch) for branch in driven]
        if driven.fork is not None and driven.fork not in known:
            self._num_told = driven.since  # from there on, the fork's steps count as well
        is_forked = driven.fork is not None
        return {
            "branches": [
                {
                    "begin": feed.branch.begin,
                    "last": feed.branch.last,
                    "name": feed.branch.name,
                    "facts": feed.branch.facts(driven.since, driven.last) if is_forked else "",
                    **feed.news(),
                }
                for feed in self._feeds
            ],
            "since": driven.since if is_forked else None,
            "differs": driven.first_difference(driven.last) if is_forked else None,
            "last": driven.last,
            "reached": self._reached(),
            "has_work": driven.has_work,
            "unfinished": sorted(driven.main.recorder.engine.unfinished_seq_ids()),
        }

    def _reached(self) -> dict[int, list[str]]:
        """Position -> the breakpoints there, of steps that were not told of before."""
        reached: dict[int, list[str]] = {}
        for at in range(self._num_told, self._driven.last + 1):
            records = [record for branch in self._driven if (record := branch.record(at))]
            if names := {name for record in records for name in breakpoints_at(record)}:
                reached[at] = sorted(names)
        self._num_told = self._driven.last + 1
        return reached
