"""Which path a step takes, and where its tokens are sampled: decided on the host, without a GPU."""

from typing import Any

import pytest
import torch

from nanovllm_edu import ChecksumRunner, EngineConfig, LLMEngine, SamplingParams
from nanovllm_edu.core.plan import Spans, StepPlan
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.runners.cuda_graph import CudaGraphRunner, SamplingKind
from nanovllm_edu.runners.eager import EagerRunner

PLAIN = SamplingParams(temperature=0, max_tokens=3)
KINDS = {
    SamplingKind.PLAIN: PLAIN,
    SamplingKind.FILTERED: SamplingParams(temperature=2, top_k=1, max_tokens=3),
    SamplingKind.OUTSIDE: SamplingParams(temperature=0, repetition_penalty=1.5, max_tokens=3),
}


class Tokens:
    """Stands for the cache: what is copied is nobody's business here."""

    def copy_blocks(self, copies: Any) -> None:
        assert not copies


class Graphs:
    """Stands for the graphs: notes for which kind one was asked, and has none."""

    def __init__(self) -> None:
        self.inputs = self
        self.kinds: list[bool] = []

    def forget(self) -> None:
        pass

    def size_for(self, num_rows: int) -> int:
        return num_rows

    def sampled(self, num_rows: int, is_filtered: bool) -> None:
        self.kinds.append(is_filtered)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A graph runner that decides, and a checksum runner that computes."""

    class Deciding(ChecksumRunner):
        def __init__(self) -> None:
            super().__init__(64, 4)
            self.kinds: list[SamplingKind] = []
            self.graphs = graphs = object.__new__(CudaGraphRunner)
            graphs._kinds, graphs._graphs, graphs._prefill = {}, Graphs(), None  # type: ignore
            graphs.longest_rider = 0
            graphs.kv_cache = Tokens()
            graphs.tables = DeviceTables.allocate(4, 4096, 4, 0, torch.device("cpu"))

        def launch(self, plan: StepPlan) -> Any:
            self.graphs.launch(plan)
            return super().launch(plan)

    made = Deciding()

    def replay(graphs: Any, spans: Spans, num_rows: int, times: list[float]) -> Any:
        made.kinds.append(made.graphs._kind_of(spans))
        times.append(0.0)
        return spans.seq_ids, None

    monkeypatch.setattr(CudaGraphRunner, "_replay_logits", lambda self, *rest: replay(*rest))
    monkeypatch.setattr(EagerRunner, "launch", lambda self, plan: self.tables.take_in(plan))
    return made


@pytest.mark.parametrize("second", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("first", KINDS, ids=lambda kind: kind.name)
def test_who_takes_over_a_row_is_sampled_in_its_own_way(
    runner: Any, first: SamplingKind, second: SamplingKind
) -> None:
    engine = LLMEngine(runner, EngineConfig(max_num_seqs=1))
    for start, kind in enumerate((first, second, first)):
        runner.kinds.clear()
        engine.add_request([start] * 5, KINDS[kind])  # nothing is cached, so it joins eagerly
        assert list(engine.run(0))
        assert set(runner.kinds) == {kind}


def test_a_copy_of_the_tables_knows_who_is_sampled_how(runner: Any) -> None:
    engine = LLMEngine(runner, EngineConfig(max_num_seqs=2))
    engine.add_request([1, 2], KINDS[SamplingKind.OUTSIDE])
    engine.step()
    twin = object.__new__(CudaGraphRunner)
    twin._kinds = {}
    twin._note_kinds((r, f.sampling) for r, f in runner.graphs.tables.copy().rows.items())
    assert set(twin._kinds.values()) == {SamplingKind.OUTSIDE}
