"""The books of an engine, checked without any of its own code.

`check_books` reads the lists and numbers as they lie there, counts everything anew, and follows
each content that can be found to the memory it is in: the checksums there must be those of a prefix
of some request.
"""

from collections import Counter
from typing import Any

from nanovllm_edu.core.plan import BlockRef
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.runners.checksum import checksum
from tests.proof.truth import Truth


def check_books(engine: LLMEngine, truth: Truth | None = None) -> None:
    """Fails an assertion if two books contradict each other."""
    queues = engine.scheduler.queues
    running, waiting = list(queues.running.values()), list(queues.waiting.values())
    _check_queues(queues, running, waiting)
    _check_claims(engine, [*running, *waiting])
    _check_blocks(queues.block_manager, running)
    unfinished = {seq.seq_id for seq in (*running, *waiting)}
    assert queues.block_manager._leases.keys() <= unfinished, "a lease outlives its sequence"
    for seq in running:
        table = engine.runner.mirror(seq.row)
        assert table[: len(seq.block_table)] == seq.block_table, "the device's table is another"
    if truth is not None:
        _check_contents(engine, truth)


def check_idle(engine: LLMEngine) -> None:
    """Fails an assertion if anything is held although nothing is left to do."""
    check_books(engine)
    queues, pool = engine.scheduler.queues, engine.scheduler.block_manager.pool
    assert not queues.running and not queues.waiting and not engine._in_flight
    assert sorted(queues.free_rows) == list(range(queues.max_num_seqs)), "rows leaked"
    assert all(block.ref_count == 0 for block in pool.blocks), "references leaked"
    assert len(pool.blank) + len(list(pool.evictable)) == len(pool.blocks), "blocks leaked"
    assert not engine.scheduler.block_manager._leases, "leases leaked"


def _check_queues(queues: Any, running: list[Any], waiting: list[Any]) -> None:
    rows = [seq.row for seq in running]
    assert len(set(rows)) == len(rows), "two sequences in one row"
    assert sorted([*rows, *queues.free_rows]) == list(range(queues.max_num_seqs)), "a row is lost"
    for key, seq in (*queues.running.items(), *queues.waiting.items()):
        assert key == seq.seq_id
        assert seq.finish_reason is None, "an ended sequence is still in a queue"
    assert not queues.running.keys() & queues.waiting.keys()
    for seq in waiting:
        assert seq.status.value == "waiting"
        assert (seq.row, seq.block_table, seq.num_computed_tokens) == (None, [], 0)
    for seq in running:
        assert seq.status.value == "running"
        assert len(seq.token_ids) < seq.max_num_tokens


def _check_claims(engine: LLMEngine, unfinished: list[Any]) -> None:
    claimed: Counter[int] = Counter()
    for step in engine._in_flight:
        for span in step.plan.spans:
            claimed[span.seq_id] += (span.num_drafted + 1) * span.is_sampled
    for seq in unfinished:
        assert seq.num_claimed == claimed[seq.seq_id], (
            f"seq {seq.seq_id} claims {seq.num_claimed} tokens; {claimed[seq.seq_id]} are on their "
            "way"
        )
        assert 0 <= seq.num_computed_tokens <= len(seq.token_ids) + seq.num_claimed
        if not engine._in_flight:
            assert seq.num_computed_tokens < len(seq.token_ids), "nothing to compute, none claimed"


def _check_blocks(manager: Any, running: list[Any]) -> None:
    users: Counter[int] = Counter()
    for seq in running:
        assert len(set(seq.block_table)) == len(seq.block_table), "a block twice in one table"
        needed = -(-seq.num_computed_tokens // manager.block_size)
        assert len(seq.block_table) == needed, "a block too many, or one too few"
        users.update(seq.block_table)
    blank, cached = list(manager.pool.blank), list(manager.pool.evictable)
    assert len(manager.pool.evictable) == len(cached)
    for block in manager.pool.blocks:
        number = block.block_id
        assert block.ref_count == users[number], f"block {number} counts its users wrong"
        where = (blank.count(number), cached.count(number))
        if users[number]:
            assert where == (0, 0), f"block {number} is in use and on offer"
        else:
            assert where == ((1, 0) if block.content is None else (0, 1)), f"block {number} is lost"


def _check_contents(engine: LLMEngine, truth: Truth) -> None:
    """What can be found is a prefix of some request, and lies in memory as it should."""
    chains: dict[int, tuple[tuple[int, ...], int | None]] = {}
    for block in engine.scheduler.block_manager.blocks:
        if block.content is not None:
            _follow(engine, block.content, chains, truth)


def _follow(engine: LLMEngine, content: Any, chains: dict[int, Any], truth: Truth) -> Any:
    """Tokens up to the end of `content`, and the checksum of the last one."""
    path = []
    while content.parent is not None and id(content) not in chains:
        path.append(content)
        content = content.parent
    tokens, last = chains.get(id(content), ((), None))
    for each in reversed(path):
        values = []
        for token in each.token_ids:
            last = checksum(last, token)
            values.append(last)
        tokens = (*tokens, *each.token_ids)
        chains[id(each)] = tokens, last
        if each.block is None:
            continue
        assert truth.is_prefix(tokens), "a content that no request has"
        assert each.block.content is each
        for group in range(engine.runner.num_groups):
            device = engine.runner.block_in(group, each.block.block_id)
            held = engine.runner.slots(BlockRef(0, device), group)
            assert held == values, f"block {each.block.block_id} holds something else"
    return chains
