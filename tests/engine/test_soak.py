"""A slice of `benchmarks/soak.py`, and that its worlds see what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.soak import CONTRADICTIONS, soak
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.queues import Queues
from nanovllm_edu.core.schedule.scheduler import Scheduler
from nanovllm_edu.gate import Gate
from nanovllm_edu.runners.checksum import ChecksumRunner
from nanovllm_edu.shield import Shield
from tests.proof.world import Options, World


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 10_000, 20_000, 30_000])
def test_a_slice_of_the_soak_finds_no_contradiction(first: int) -> None:
    """Two minutes in all."""
    counts = soak(num_steps=25_000, first=first)
    assert counts[CONTRADICTIONS] == 0
    for name in ("faults injected", "interrupts", "forks", "steps of threads", "block moves"):
        assert counts[name] > 20, f"this slice hardly has {name}: {counts}"


def _no_copies(runner: Any, plan: Any) -> Any:
    return _launch(runner, replace(plan, copies=()))


def _publishes_all(seq: Sequence) -> int:
    return len(seq.token_ids)


def _forgets_the_block_manager(queues: Queues, plans: Any, reason: str) -> None:
    manager, queues.block_manager.reset_prefix_cache = queues.block_manager, lambda: None  # type: ignore[method-assign]
    try:
        _take_back(queues, plans, reason)
    finally:
        del manager.reset_prefix_cache


_launch, _take_back = ChecksumRunner.launch, Queues.take_back

MUTANTS: dict[str, tuple[type, str, Any]] = {
    "copies are not executed": (ChecksumRunner, "launch", _no_copies),
    "what is known counts as computed": (
        Sequence,
        "num_settled_computed",
        property(_publishes_all),
    ),
    "claims are not handed back": (Scheduler, "_hand_back", lambda *args: None),
    "surplus blocks are kept": (BlockManager, "trim", lambda *args: []),
    "a failed device leaves contents findable": (Queues, "take_back", _forgets_the_block_manager),
    "interrupts come through": (Shield, "receive", lambda shield, *args: shield._handler(*args)),
    "dropped requests stay": (Gate, "end_dropped", lambda gate: None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_bug_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(owner, attribute, mutant)
    options = Options(fault_rate=0.1, interrupt_rate=0.1 if "rupt" in name or "drop" in name else 0)
    assert _is_seen(lambda seed: World(seed, options).run(80)), f"nobody sees that {name}"


def _is_seen(run: Callable[[int], None]) -> bool:
    for seed in range(60):
        try:
            run(seed)
        except Exception:
            return True
    return False
