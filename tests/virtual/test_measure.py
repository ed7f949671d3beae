from typing import Any

import pytest
import torch

from nanovllm_edu import LLM
from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.plan import Spans
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.native.ops import why_unavailable
from nanovllm_edu.native.tape import Tape
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.runners.small_steps import MOST_TOKENS, is_small
from nanovllm_edu.virtual.measure import play_every_tape


def test_a_small_step_of_each_size_is_taken():
    steps: list[Spans] = []

    class Watched(ChecksumRunner):
        def launch(self, plan: Any) -> Any:
            if plan.spans:
                steps.append(plan.spans)
            return super().launch(plan)

    play_every_tape(LLMEngine(Watched(60, 16), EngineConfig(max_num_seqs=16)))
    assert [sum(spans.nums_of_tokens) for spans in steps] == [*range(1, MOST_TOKENS + 1)]
    assert all(map(is_small, steps))


@pytest.mark.skipif(
    bool(why_unavailable(torch.device("cpu"), torch.float32)), reason="no C compiler"
)
def test_no_tape_is_made_afterwards(monkeypatch: pytest.MonkeyPatch):
    """Else the step in which one is made would be taken for a slow device."""
    made: list[Tape] = []
    make = Tape.__init__

    def watched(self: Tape, *options: Any) -> None:
        make(self, *options)
        made.append(self)

    with LLM(device="cpu", num_blocks=128) as llm:
        play_every_tape(llm.engine)
        monkeypatch.setattr(Tape, "__init__", watched)
        play_every_tape(llm.engine)
        assert not made
        twin = llm.engine.fork(num_blocks=64)
        play_every_tape(twin)
        assert len(made) == MOST_TOKENS - 1  # a runner begins with the tape of one token
