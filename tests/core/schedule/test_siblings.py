"""The answers to one prompt: one computes it, and the others begin with its blocks."""

from nanovllm_edu.core.events import PrefixHit, PromptShared
from nanovllm_edu.core.plan import BlockCopy, BlockRef
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.scheduler import Scheduler
from tests.core.sequences import request
from tests.core.steps import add, scheduler, step, work

PROMPT = [1, 2, 3, 4, 5, 6]


def add_siblings(engine: Scheduler, number: int, prompt: list[int] = PROMPT) -> list[Sequence]:
    """So many answers to one prompt, with numbers of their own."""
    seqs = [request(seq_id, prompt) for seq_id in range(number)]
    for seq in seqs:
        seq.prompt_id = 0
        engine.add(seq)
    return seqs


def test_one_computes_the_prompt_and_the_others_take_it_in_the_next_step() -> None:
    engine = scheduler()
    one, two, three = add_siblings(engine, 3)
    plan, _ = step(engine, 90)
    assert work(plan) == [(0, 0, 6)]
    assert plan.blocked is not None
    assert plan.blocked.resource == "prompt"
    assert plan.blocked.why == (
        "seq 1 waits: seq 0 computes the prompt that it shares, and had 0 of 6 tokens before this "
        "step"
    )
    plan, _ = step(engine, 91)
    assert work(plan) == [(0, 6, 7), (1, 5, 6), (2, 5, 6)]
    assert (one.block_table, two.block_table, three.block_table) == ([0, 1], [0, 2], [0, 3])
    assert plan.copies == tuple(BlockCopy(BlockRef(0, 1), BlockRef(0, to)) for to in (2, 3))
    assert plan.blocked is None


def test_what_is_shared_is_said_in_a_sentence() -> None:
    engine = scheduler()
    add_siblings(engine, 2)
    step(engine)
    plan, _ = step(engine)
    (said,) = [event for event in plan.events if isinstance(event, PromptShared)]
    assert said.why == (
        "seq 1 answers the prompt of seq 0, too: it finds its first 5 tokens in block 0, which "
        "both use and in a copy of block 1, behind which both will write"
    )
    assert said.stopped_because == (
        "the rest of the prompt, 1 of 4 tokens, does not fill a block and is copied"
    )


def test_a_block_that_is_shared_is_never_written() -> None:
    """A prompt that fills its blocks: the last token is computed by each, in a block of its own."""
    engine = scheduler()
    _, two = add_siblings(engine, 2, [1, 2, 3, 4, 5, 6, 7, 8])
    step(engine)
    plan, _ = step(engine)
    assert work(plan) == [(0, 8, 9), (1, 7, 8)]
    assert two.block_table == [0, 3]
    assert plan.copies == (BlockCopy(BlockRef(0, 1), BlockRef(0, 3)),)


def test_a_prompt_that_is_cut_makes_them_wait_and_nobody_else() -> None:
    engine = scheduler(max_num_batched_tokens=4)
    add_siblings(engine, 2)
    stranger = request(7, [9])
    engine.add(stranger)
    plan, _ = step(engine)
    assert work(plan) == [(0, 0, 4)]
    plan, _ = step(engine)
    assert work(plan) == [(0, 4, 6), (7, 0, 1)]
    assert [seq_id for seq_id, *_ in work(step(engine)[0])] == [0, 7, 1]


def test_a_sibling_that_was_preempted_takes_the_prompt_again() -> None:
    engine = scheduler()
    _, two = add_siblings(engine, 2)
    for _ in range(3):
        step(engine)
    assert len(two.token_ids) == 8
    engine.queues.requeue(two, None, "for this test")
    plan, _ = step(engine)
    assert work(plan)[1] == (1, 6, 8), "its own tokens are computed anew, the prompt is not"
    assert len(plan.copies) == 1


def test_when_none_of_them_runs_it_is_a_request_like_any_other() -> None:
    engine = scheduler(max_num_seqs=1)
    add_siblings(engine, 2)
    step(engine)
    engine.abort(0)
    plan, _ = step(engine)
    assert work(plan) == [(1, 4, 6)]
    (found,) = [event for event in plan.events if isinstance(event, PrefixHit)]
    assert type(found) is PrefixHit, "the prefix cache knew it"


def test_a_stranger_with_the_same_prompt_does_not_wait() -> None:
    engine = scheduler()
    add(engine, PROMPT, PROMPT)
    assert len(step(engine)[0].spans) == 2


def test_what_is_computed_in_this_step_is_not_copied_in_it() -> None:
    """Two that were preempted. A stranger computes what the first finds: its block is empty yet."""
    engine = scheduler()
    engine.add(request(7, [*PROMPT, 8, 9]))
    _, two = add_siblings(engine, 2)
    for seq in engine.queues.waiting.values():
        seq.num_prompt_tokens = 2  # the rest are tokens of their answers
    plan, _ = step(engine)
    assert work(plan) == [(7, 0, 8), (0, 4, 6)]
    assert plan.copies == ()
    assert plan.blocked is not None
    assert plan.blocked.seq_id == two.seq_id
    plan, _ = step(engine)
    assert work(plan)[-1] == (1, 4, 6)


def test_what_the_cache_knows_is_taken_if_it_is_more() -> None:
    """Its own answer fills blocks that were published before it was preempted."""
    engine = scheduler()
    _, two = add_siblings(engine, 2)
    for _ in range(9):
        step(engine)
    engine.queues.requeue(two, None, "for this test")
    num_known = len(two.token_ids)
    plan, _ = step(engine)
    found = [event for event in plan.events if isinstance(event, PrefixHit)]
    assert [type(event) for event in found] == [PrefixHit]
    assert found[0].num_tokens == (num_known - 1) // 4 * 4 > 6
