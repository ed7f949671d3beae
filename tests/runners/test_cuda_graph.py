"""Which path a step takes, and where its tokens are sampled: decided on the host, without a GPU."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nanovllm_edu import ChecksumRunner, EngineConfig, LLMEngine, SamplingParams
from nanovllm_edu.core.plan import Spans, StepPlan
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.runners import build
from nanovllm_edu.runners.cuda_graph import CudaGraphRunner, SamplingKind
from nanovllm_edu.runners.eager import EagerRunner
from nanovllm_edu.runners.select import BackendChoice

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
    """Stands for the graphs: there are none."""

    def __init__(self) -> None:
        self.inputs = self

    def forget(self) -> None:
        pass


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

    def replay(self: CudaGraphRunner, graphs: Any, spans: Spans, times: list[float]) -> None:
        made.kinds.append(self._kind_of(spans))

    monkeypatch.setattr(CudaGraphRunner, "_replay_decode", replay)
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


@pytest.mark.parametrize(
    ("name", "has_graphs"), [("flash", True), ("triton", True), ("sdpa", False)]
)
def test_attention_that_needs_the_host_is_not_recorded(name: str, has_graphs: bool) -> None:
    """Nor by a fork whose blocks only such attention reads."""
    runner_class, why = build._choose_runner(
        torch.device("cuda"), EngineConfig(), BackendChoice(name, "for this test"), has_ranks=False
    )
    assert runner_class is (CudaGraphRunner if has_graphs else EagerRunner), why
    assert has_graphs or "sdpa reads lengths on the host" in why
    runner = object.__new__(CudaGraphRunner)
    assert runner._class_for(SimpleNamespace(name=name)) is runner_class  # type: ignore[arg-type]


def test_a_copy_of_the_tables_knows_who_is_sampled_how(runner: Any) -> None:
    engine = LLMEngine(runner, EngineConfig(max_num_seqs=2))
    engine.add_request([1, 2], KINDS[SamplingKind.OUTSIDE])
    engine.step()
    twin = object.__new__(CudaGraphRunner)
    twin._kinds = {}
    twin._note_kinds((r, f.sampling) for r, f in runner.graphs.tables.copy().rows.items())
    assert set(twin._kinds.values()) == {SamplingKind.OUTSIDE}
