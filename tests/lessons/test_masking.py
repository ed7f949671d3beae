"""Masks by hand: answers keep to them, with guesses too, unless the masks come a token late."""

import runpy
from pathlib import Path

import pytest

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.lessons.masking import Choices, texts_of_tokens, write, write_guessing

SOLUTION = runpy.run_path(str(Path(__file__).parent / "solutions" / "lesson_15.py"))
VOCABULARY = {2: "a", 3: "b", 4: "ab", 5: "abc", 6: "c"}


def test_what_is_allowed_follows_from_what_was_said():
    machine = Choices(["ab", "abc"], VOCABULARY, end=1)
    assert machine.allowed([]) == [2, 4, 5]
    assert machine.allowed([4]) == [6, 1]
    assert machine.allowed([4, 6]) == [1]
    assert machine.allowed([4, 1]) == []
    with pytest.raises(ValueError, match="no answer begins with 'b'"):
        machine.allowed([3])


def test_a_mask_that_is_a_token_late_lets_anything_through():
    with LLM(num_blocks=32) as llm:
        (end,) = llm.tokenizer.eos_token_ids
        vocabulary = texts_of_tokens(llm.tokenizer, llm.engine.runner.vocab_size)
        machine = Choices(["yes", "no", "none"], vocabulary, end)
        prompt = llm.tokenizer.chat_prompt([{"role": "user", "content": "Are you a model?"}])
        params = [SamplingParams(seed=seed, max_tokens=8) for seed in range(4)]
        told = [write(llm, prompt, machine.allowed, each) for each in params]
        late = [write(llm, prompt, machine.allowed, each, depth=1) for each in params]
        masks = SOLUTION["masks"]
        guessed = [write_guessing(llm, prompt, machine, masks, each) for each in params]
        texts = [[llm.tokenizer.decode(ids) for ids in answers] for answers in (told, late)]
    assert set(texts[0]) <= {"yes", "no", "none"}
    assert not set(texts[1]) <= {"yes", "no", "none"}
    assert [[token for step in steps for token in step] for steps in guessed] == told
