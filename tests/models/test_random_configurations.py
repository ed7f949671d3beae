"""Cases 10 and 11: 64 random models, stored in random ways, against transformers' own loading."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from nanovllm_edu.models.loader import load_model
from tests.models.dense_attend import DenseAttend
from tests.models.random_configurations import (
    FAMILIES,
    num_positions,
    random_configuration,
    store_at_random,
)

NUM_CONFIGURATIONS = 64
NUM_PROMPT_TOKENS = 40


def test_every_family_comes_up_equally_often() -> None:
    families = Counter(random_configuration(seed).family for seed in range(NUM_CONFIGURATIONS))
    assert families == dict.fromkeys(FAMILIES, NUM_CONFIGURATIONS // 4)


@pytest.mark.parametrize("seed", range(NUM_CONFIGURATIONS))
def test_logits_equal_those_that_transformers_gets_from_the_same_folder(
    seed: int, tmp_path: Path
) -> None:
    configuration = random_configuration(seed)
    configuration.save(tmp_path, seed)
    store_at_random(tmp_path, configuration, seed)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    model = load_model(tmp_path, progress=False)
    assert model.config.max_position_embeddings == num_positions(configuration)

    # As many tokens as fit: the prompt within the trained context, then one at a time beyond it.
    generator = torch.Generator().manual_seed(seed)
    length = min(num_positions(configuration), 60)
    tokens = torch.randint(model.config.vocab_size, (length,), generator=generator)
    with torch.inference_mode():
        steps = [tokens[:NUM_PROMPT_TOKENS], *tokens[NUM_PROMPT_TOKENS:, None]]
        attend, past, begin, ours, theirs = DenseAttend(), None, 0, [], []
        for step in steps:
            positions = torch.arange(begin, begin + len(step))
            ours.append(model.logits(model(step, positions, attend)))
            out = reference(step[None], past_key_values=past, use_cache=True)
            theirs.append(out.logits[0])
            past, begin = out.past_key_values, begin + len(step)
    torch.testing.assert_close(torch.cat(ours), torch.cat(theirs), rtol=0, atol=2e-4)
