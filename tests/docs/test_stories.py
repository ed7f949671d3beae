"""What the pages under Watch say about their recordings is so."""

import pytest

from nanovllm_edu.core.events import BlockEvicted, PrefixHit
from tests.docs.site_pages import ROOT


@pytest.fixture
def story(site, recorded):
    return lambda name: recorded[site / "watch" / "recordings" / f"{name}.html"]


def text_of(name: str) -> str:
    return (ROOT / "docs" / "watch" / f"{name}.md").read_text("utf-8")


def events(record, kind) -> list:
    return [event for event in record.events if isinstance(event, kind)]


def test_the_shared_prompt_is_found_at_step_3(story):
    step = story("shared_prompt")[3]
    assert [hit.num_tokens for hit in events(step, PrefixHit)] == [32, 32]
    assert sorted(step.spans.nums_of_tokens) == [1, 10, 11]
    tables = [step.block_tables[hit.seq_id][:5] for hit in events(step, PrefixHit)]
    assert tables[0][:4] == tables[1][:4]
    assert tables[0][4] != tables[1][4]
    last = story("shared_prompt").state_at(len(story("shared_prompt")) - 1)
    assert last.num_blocks("used") == 0 < last.num_blocks("cached")


def test_the_storm_preempts_when_the_page_says(story):
    storm = story("preemption")
    preempted = [k for k, record in enumerate(storm) if record.preempted]
    assert preempted == [33, 45]
    assert storm.state_at(32).num_blocks("free") + storm.state_at(32).num_blocks("cached") == 0
    back = set(storm[64].spans.seq_ids) - set(storm[63].spans.seq_ids)
    assert back == {seq_id for k in preempted for seq_id in storm[k].preempted}
    assert [hit.num_tokens for hit in events(storm[64], PrefixHit) if hit.num_tokens] == [16]
    for step in (*preempted, 64):
        assert f"**Step {step}**" in text_of("preemption")


def test_the_long_prompt_stalls_others_only_in_phases(story):
    mixed, phases = story("chunked_mixed"), story("chunked_phases")
    long = max(mixed.requests)
    assert len(mixed.requests[long].token_ids) == 89
    assert all({0, 1, 2} <= set(mixed[k].new_tokens) for k in range(8, 12))
    assert max(record.num_tokens for record in mixed) <= 24
    assert phases[8].num_tokens == 89
    assert set(phases[8].new_tokens) == {long}


def test_the_evicted_question_finds_less_each_time(story):
    eviction = story("eviction")
    questions = {seq: 0 for seq, r in eviction.requests.items() if len(r.token_ids) > 40}
    for record in eviction:
        for hit in events(record, PrefixHit):
            if hit.seq_id in questions:
                questions[hit.seq_id] += hit.num_tokens
    assert list(questions.values()) == [0, 24, 16]
    assert any(events(record, BlockEvicted) for record in eviction)


def test_the_gpu_run_shares_one_block_even_within_a_step(story):
    if not (ROOT / "benchmarks" / "results" / "gpu_run.json.gz").exists():
        pytest.skip("no GPU run is recorded")
    run = story("gpu_run")
    assert run.engine["block_size"] == 256
    assert run.engine["runner"] == "CudaGraphRunner"
    first = [hit.num_tokens for hit in events(run[0], PrefixHit)]
    assert first == [0, *[256] * 7]
    prompts = [request.token_ids for request in run.requests.values()]
    common = next(i for i, tokens in enumerate(zip(*prompts, strict=False)) if len(set(tokens)) > 1)
    assert 430 <= common <= 450
    assert any(record.num_in_flight for record in run), "planned ahead"
