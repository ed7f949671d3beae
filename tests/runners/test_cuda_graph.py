"""Which path a step takes, and where its tokens are sampled: decided on the host, without a GPU."""

from typing import Any

import pytest
import torch

from nanovllm_edu import ChecksumRunner, EngineConfig, LLMEngine, SamplingParams
from nanovllm_edu.core.plan import Span, Spans, StepPlan
from nanovllm_edu.paged.batch import DeviceTables
from nanovllm_edu.runners.cuda_graph import CudaGraphRunner, SamplingKind, moves_one_each
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
        self.order: list[int] = []
        self.kinds: list[bool] = []

    def forget(self) -> None:
        self.order = []

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
            graphs._rows, graphs._kind, graphs._graphs = (), SamplingKind.PLAIN, Graphs()
            graphs.kv_cache = Tokens()
            graphs.tables = DeviceTables.allocate(4, 4096, 4, 0, torch.device("cpu"))

        def launch(self, plan: StepPlan) -> Any:
            self.graphs.launch(plan)
            return super().launch(plan)

    made = Deciding()

    def replay(graphs: Any, plan: StepPlan, num_rows: int, times: list[float]) -> Any:
        made.kinds.append(made.graphs._kind)
        for span in plan.spans:
            known = made._rows.get(span.row)  # not there before it joins
            token_ids = known.token_ids if known else plan.joined[0].token_ids
            device = made.graphs.tables.token_ids[span.row, span.start].item()
            if span.start < made.graphs.tables.rows[span.row].joined.num_prompt_tokens:
                assert device == list(token_ids)[span.start], "its token is not on the device"
        times.append(0.0)
        return [span.seq_id for span in plan.spans], None

    monkeypatch.setattr(CudaGraphRunner, "_replay_logits", lambda self, *rest: replay(*rest))
    eager = EagerRunner.launch.__wrapped__  # type: ignore[attr-defined]
    assert eager is not None
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


def test_one_token_that_joins_reaches_the_device(runner: Any) -> None:
    engine = LLMEngine(runner, EngineConfig(max_num_seqs=2))
    for prompt in ([77], list(range(100, 113)), list(range(100, 113))):
        engine.add_request(prompt, PLAIN)  # the third is cached up to its last token
        assert list(engine.run(0))
    assert len(runner.kinds) > 6


@pytest.mark.parametrize(
    ("spans", "is_graph"),
    [
        ([Span(0, 0, 5, 1), Span(1, 1, 7, 1)], True),
        ([Span(0, 0, 5, 1), Span(1, 1, 7, 2)], False),
        ([Span(0, 0, 5, 1, is_sampled=False)], False),
        ([Span(0, 0, 5, 2, (1, 2), 1)], False),
        ([], False),
    ],
)
def test_a_graph_takes_steps_in_which_each_moves_one_sampled_token(
    spans: list[Span], is_graph: bool
) -> None:
    assert moves_one_each(Spans(spans)) is is_graph
