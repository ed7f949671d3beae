"""`Narrator`: tells the captions of a scene, and `menu`: what there is to choose from on a page.

Read next: `live/session.py`.
"""

from typing import Any

from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.errors import ConfigError, shown
from nanovllm_edu.introspect.breakpoints import BREAKPOINTS
from nanovllm_edu.live.judging import exercises
from nanovllm_edu.live.options import CHOICES, NUMBERS, checked_text
from nanovllm_edu.live.scenes import SCENES


def menu() -> dict[str, Any]:
    """Scenes, options with their bounds, breakpoints and exercises, as JSON-ready values."""
    scenes = {
        name: {
            "title": scene.title,
            "question": scene.question,
            "link": scene.scenario.to_link(),
            "captions": len(scene.captions),
        }
        for name, scene in SCENES.items()
    }
    return {
        "scenes": scenes,
        "numbers": {name: list(bounds) for name, bounds in NUMBERS.items()},
        "choices": CHOICES,
        "breakpoints": list(BREAKPOINTS),
        "exercises": exercises(),
    }


class Narrator:
    """Tells the captions of a scene, one after the other, each when it has come true.

    Args:
        name: Of `SCENES`; without one there is nothing to tell.

    Raises:
        ConfigError: There is no such scene.
    """

    def __init__(self, name: str = "") -> None:
        if checked_text(name, "scene") and name not in SCENES:
            raise ConfigError(f"scene {shown(name)} is not one of {', '.join(SCENES)}.")
        self._captions = SCENES[name].captions if name else ()
        self._num_told = 0

    @property
    def num_left(self) -> int:
        """So many captions are still to come."""
        return len(self._captions) - self._num_told

    def tell(self, record: StepRecord) -> dict[str, Any] | None:
        """The next caption as JSON-ready values, if the step is what it waits for."""
        if not self.num_left:
            return None
        caption = self._captions[self._num_told]
        found = caption.moment(record)
        if found is None:
            return None
        self._num_told += 1
        number, why = self._num_told, found.why.removesuffix(".")
        return {"number": number, "of": len(self._captions), "text": caption.text, "why": why}
