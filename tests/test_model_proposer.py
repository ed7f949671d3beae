"""A small model that guesses: its options, its vocabulary, and what it says."""

from pathlib import Path

import pytest

from nanovllm_edu import LLM, ChecksumRunner, EngineConfig, LLMEngine, ModelProposer, SamplingParams
from nanovllm_edu.core.model_runner import Ticket
from nanovllm_edu.core.plan import StepOutput, StepPlan
from nanovllm_edu.core.schedule.draft_proposer import BatchDraftProposer, DraftRequest
from nanovllm_edu.errors import ConfigError, ModelLoadError
from tests.first_layers import first_layers


@pytest.fixture(scope="module")
def proposer():
    proposer = ModelProposer("tiny", num_tokens=3, num_blocks=64)
    yield proposer
    proposer.close()


TEXT = [5, 300, 301, 302, 303, 304, 305]


def test_it_says_what_its_model_says(proposer: ModelProposer) -> None:
    assert isinstance(proposer, BatchDraftProposer)
    with LLM(num_blocks=64) as llm:
        ways = [
            SamplingParams(temperature=0, max_tokens=3),
            SamplingParams(temperature=0.8, top_p=0.9, seed=7, max_tokens=3),
            SamplingParams(temperature=1.0, repetition_penalty=1.2, seed=8, max_tokens=3),
        ]
        said = [output.token_ids for output in llm.generate([TEXT] * 3, ways, use_tqdm=False)]
    requests = [DraftRequest(TEXT, 9, params, params.seed or 0) for params in ways]
    assert proposer.propose_many(requests) == said
    assert proposer.propose(TEXT, 2) == said[0][:2]
    assert not proposer.llm.engine.has_unfinished_requests()


def test_the_one_in_the_box_guesses_for_the_model_in_the_box() -> None:
    prompt, params = "Once upon a time", SamplingParams(temperature=0.8, seed=4, max_tokens=40)
    with LLM(num_blocks=64) as plain, LLM(draft_proposer=ModelProposer(), num_blocks=64) as llm:
        said = [one.generate(prompt, params, use_tqdm=False)[0] for one in (plain, llm)]
        llm.engine.add_request(prompt, params)
        num_steps = sum(1 for _ in llm.engine.run(0))
    assert said[0].token_ids == said[1].token_ids
    assert num_steps < 30  # for 40 tokens


def test_what_it_computed_before_is_found_by_content(proposer: ModelProposer) -> None:
    text, engine = list(range(400, 440)), proposer.llm.engine
    guesses = proposer.propose(text, 3)
    engine.add_request([*text, *guesses[:2]], SamplingParams(temperature=0, max_tokens=1))
    record = engine.step()
    assert sum(span.num_tokens for span in record.spans) <= engine.runner.block_size


def test_no_step_waits_for_what_the_step_before_it_said(
    proposer: ModelProposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device gets all steps of a question at once, and feeds its tokens back to itself."""
    runner, log = proposer.llm.engine.runner, list[str]()
    launch = runner.launch

    class Noted:
        def __init__(self, ticket: Ticket) -> None:
            self.ticket = ticket

        def wait(self) -> StepOutput:
            log.append("wait")
            return self.ticket.wait()

    def noted(plan: StepPlan) -> Noted:
        log.append("launch")
        return Noted(launch(plan))

    texts = [list(range(500, 507)), list(range(600, 603))]
    expected = [proposer.propose(text, 3) for text in texts]
    monkeypatch.setattr(runner, "launch", noted)
    requests = [DraftRequest(text, 3, SamplingParams(temperature=0), 0) for text in texts]
    assert proposer.propose_many(requests) == expected
    assert log == ["launch"] * 3 + ["wait"] * 3


def test_a_text_that_has_outgrown_it_gets_no_guess() -> None:
    small = ModelProposer("tiny", num_blocks=4, block_size=4)
    texts = ([300] * 3, [300] * 16, [300] * 7)
    requests = [DraftRequest(text, 4, SamplingParams(temperature=0), 0) for text in texts]
    assert [len(guesses) for guesses in small.propose_many(requests)] == [4, 0, 4]
    small.close()


@pytest.mark.parametrize("num_tokens", [0, -1, 1.5, None, True])
def test_a_number_that_is_none_is_refused(num_tokens: object) -> None:
    with pytest.raises(ConfigError, match="num_tokens="):
        ModelProposer("tiny", num_tokens)  # type: ignore[arg-type]


def test_a_model_that_is_none_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="no folder"):
        ModelProposer("./nowhere")
    with pytest.raises(ConfigError, match="unknown option"):
        ModelProposer("tiny", num_bocks=3)


def test_another_vocabulary_is_refused(proposer: ModelProposer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"guesses among \d+ tokens, and the model has 24"):
        LLMEngine(ChecksumRunner(vocab_size=24), EngineConfig(draft_proposer=proposer))
    small = ModelProposer(first_layers(tmp_path, 1, num_tokens=2000), num_blocks=8)
    with pytest.raises(ConfigError, match="guesses among 2000 tokens"):
        LLM(draft_proposer=small, num_blocks=8)


def test_as_many_other_tokens_are_refused(tmp_path: Path) -> None:
    folder = first_layers(tmp_path, 1)
    file = folder / "tokenizer.json"
    text = file.read_text("utf-8")
    one, other = '"Ġthe": ', '"ĠThe": '
    assert one in text
    file.write_text(text.replace(one, "\0").replace(other, one).replace("\0", other), "utf-8")
    other_words = ModelProposer(folder, num_blocks=8)
    with pytest.raises(ConfigError, match="another vocabulary: its token"):
        LLM(draft_proposer=other_words, num_blocks=8)


def test_info_says_who_guesses(proposer: ModelProposer) -> None:
    with LLM(draft_proposer=proposer, num_blocks=8) as llm:
        assert llm.info.choices["guesses"][0] == "ModelProposer('tiny', num_tokens=3)"
    with LLM(num_blocks=8) as llm:
        assert "guesses" not in llm.info.choices
