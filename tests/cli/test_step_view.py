"""The view of steps knows every event that there is."""

from nanovllm_edu.cli.step_view import DETAILS, LABELS
from nanovllm_edu.core.events import EVENT_TYPES


def test_every_event_has_a_label_and_a_style():
    assert set(LABELS) == set(EVENT_TYPES.values())
    assert set(DETAILS) < set(LABELS)
