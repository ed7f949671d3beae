"""The eager runner says which backend it has and why, and a fork gets one that fits its blocks."""

import pytest
from torch import Tensor

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.attention.reference import ReferenceAttention
from nanovllm_edu.native.tape import Tape
from nanovllm_edu.runners import select


@pytest.fixture
def engine():
    with LLM(device="cpu", num_blocks=8, block_size=16) as llm:
        yield llm.engine


def test_the_choice_and_its_reason_are_shown(engine):
    assert "attention='native' (our C kernel" in repr(engine)


def test_an_equal_fork_shares_the_backend(engine):
    twin = engine.fork()
    assert twin.runner.backend is engine.runner.backend
    assert repr(twin.runner) == repr(engine.runner)


def test_a_fork_with_other_blocks_chooses_anew(engine, monkeypatch):
    """Not every backend reads every block size: flash-attn wants multiples of 256."""
    asked = []

    def choose(name, device, dtype, head_dim, block_size):
        asked.append((name, block_size))
        return select.BackendChoice("reference", "it reads any block")

    monkeypatch.setattr(select, "choose", choose)
    twin = engine.fork(block_size=4)
    assert asked == [("auto", 4)]
    assert isinstance(twin.runner.backend, ReferenceAttention)
    assert "it reads any block" in repr(twin)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("backend", ["sdpa", "native"])
def test_a_row_without_numbers_ends_alone(
    backend: str, temperature: float, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = ["Once upon a time", "What is a KV cache?"]
    params = SamplingParams(temperature=temperature, seed=1, max_tokens=8, ignore_eos=True)
    with LLM(device="cpu", attention_backend=backend) as llm:
        right = [o.token_ids for o in llm.generate(prompts, params, use_tqdm=False)]
        forward, play, num_steps = llm.engine.runner._forward, Tape.play, 0

        def broken(logits: Tensor) -> Tensor:
            nonlocal num_steps
            num_steps += 1
            if num_steps == 4:
                logits[1, 7] = value
            return logits

        def broken_play(tape: Tape) -> None:
            play(tape)
            broken(tape.result)

        monkeypatch.setattr(
            llm.engine.runner, "_forward", lambda batch: broken(forward(batch).clone())
        )
        monkeypatch.setattr(Tape, "play", broken_play)
        outputs = llm.generate(prompts, params, use_tqdm=False)
        llm.engine.scheduler.check_invariants()
    assert [o.finish_reason for o in outputs] == ["length", "error"]
    assert [o.token_ids for o in outputs] == [right[0], right[1][:3]]
