"""What is counted of guesses, and that the draft model in the box guesses well."""

import json

from nanovllm_edu.core.events import DraftVerified
from nanovllm_edu.models.folder import TINY_DRAFT_FOLDER, TINY_MODEL_FOLDER
from training.acceptance import acceptance, counted, prompts_of_stories, table


def verified(num_accepted, num_drafted=4):
    return DraftVerified(0, 9, (5,) * num_drafted, num_accepted, 7)


def test_what_stands_behind_a_wrong_guess_was_not_reached():
    figures = counted([verified(4), verified(1), verified(0), verified(2, num_drafted=2)])
    assert figures == {
        "right": round(5 / 7, 4),
        "accepted": round(5 / 12, 4),
        "tokens": 2.667,
        "steps": 3,
    }


def test_the_draft_model_in_the_box_guesses_most_tokens():
    found = acceptance(TINY_DRAFT_FOLDER, count=4, max_tokens=24)
    assert len(found) == 4
    assert all(figures["right"] > 0.5 for figures in found.values())
    assert acceptance(TINY_DRAFT_FOLDER, count=4, max_tokens=24) == found


def test_stories_begin_with_a_sentence():
    prompts = prompts_of_stories(20)
    assert len(set(prompts)) > 15
    assert all(prompt.endswith(".") for prompt in prompts)


def test_the_folder_in_the_box_has_the_large_models_tokenizer_and_its_card():
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (TINY_DRAFT_FOLDER / name).read_bytes() == (TINY_MODEL_FOLDER / name).read_bytes()
    assert (TINY_DRAFT_FOLDER / "model.safetensors").stat().st_size < 1_000_000
    run = json.loads((TINY_DRAFT_FOLDER / "training_run.json").read_text())
    assert run["loss"][-1]["loss"] < run["loss"][0]["loss"]
    card = (TINY_DRAFT_FOLDER / "README.md").read_text()
    for label, row in run["acceptance"].items():
        assert f"| {label} | {row['right']:.0%} | {row['accepted']:.0%} |" in card


def test_the_page_about_speculation_has_the_counted_figures():
    run = json.loads((TINY_DRAFT_FOLDER / "training_run.json").read_text())
    page = (TINY_DRAFT_FOLDER.parents[2] / "docs" / "use" / "speculation.md").read_text("utf-8")
    for line in table(run["acceptance"]).splitlines()[2:]:
        assert line in page
