from collections import Counter

from nanovllm_edu.virtual.fit import samples_of
from nanovllm_edu.virtual.measure import batches, record_runs

from .test_fit import known_engine


def test_the_runs_hold_every_kind_of_step():
    engine = known_engine()
    works = [s.work for r in record_runs(engine, engine.clock) for s in samples_of(r)]
    kinds = Counter((w.rows > 0, w.prompts > 0) for w in works)
    assert min(kinds[True, False], kinds[False, True], kinds[True, True]) > 0
    assert {1, engine.config.max_num_seqs} <= {w.rows for w in works}


def test_an_engine_has_its_own_clock_back():
    engine = known_engine()
    clock = engine.clock
    for _ in record_runs(engine, engine.clock):
        break
    assert engine.clock is clock


def test_prompts_and_answers_fit_the_model():
    for batch in batches(8, 100, 50):
        assert all(len(a.prompt) + a.max_tokens <= 100 and max(a.prompt) < 50 for a in batch)
