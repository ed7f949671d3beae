"""A long hostile run of the engine, without a model: how many contradictions? (None, so far.)

    python benchmarks/soak.py                          # a million random steps
    python benchmarks/soak.py --steps 100000 --first 7000    # other ones
    python benchmarks/soak.py --interrupts             # an interrupt at every executed line

Each world is an engine of a random shape on the checksum runner (both caches, both evictions, every
policy and one without sense, blocks of 1 to 32 tokens, up to 3 steps ahead, guesses, groups, blocks
that move between tiers), in which requests come, are aborted, resampled and forked, devices fail in
launch, in wait and in single rows, and interrupts strike. Between steps the books are counted anew
without the engine's own code, and every token is compared with that of a run alone. A crowd of
threads shares an engine now and then. What goes wrong is printed with the seed that shows it again.
"""

import argparse
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.proof.books import check_idle
from tests.proof.crowd import crowd
from tests.proof.scenarios import SCENARIOS, SHAPES, interrupt, num_lines
from tests.proof.small_llm import small_llm
from tests.proof.world import Options, World

STEPS_PER_WORLD = 150
WORLDS_PER_CROWD = 150
PROGRESS = 50_000
CONTRADICTIONS = "contradictions"


def soak_world(seed: int) -> Counter[str]:
    """One world. Odd seeds are interrupted, most have a device that fails."""
    random = Random(seed)
    options = Options(
        fault_rate=random.choice((0.0, 0.03, 0.15)),
        max_block_size=32,
        check_rate=random.choice((0.1, 0.3, 1.0)),
        interrupt_rate=0.1 if seed % 4 == 3 else 0.0,
    )
    world = World(seed, options)
    world.run(STEPS_PER_WORLD)
    world.counts["block moves"] = world.moves.num_moves
    world.counts["faults injected"] = world.runner.num_faults
    world.counts["worlds"] = 1
    return world.counts


def soak_crowd(seed: int) -> Counter[str]:
    """Eight threads on one engine."""
    random = Random(seed)
    llm = small_llm(
        random.randint(0, 2),
        num_blocks=random.randint(14, 40),
        prefix_cache=random.choice(("hash", "radix")),
        max_num_batched_tokens=random.choice((3, 20, 2048)),
    )
    counts = crowd(llm, num_threads=8, num_requests=40, seed=seed)
    while llm.engine.num_steps_in_flight:
        llm.engine.step()
    check_idle(llm.engine)
    counts["steps"] = counts["steps of threads"] = llm.engine.scheduler._num_plans
    return counts


def soak_one(seed: int) -> Counter[str]:
    """A world, or now and then a crowd; a contradiction is counted, with its seed printed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return soak_crowd(seed) if seed % WORLDS_PER_CROWD == 0 else soak_world(seed)
    except Exception:
        print(f"seed {seed}:\n{traceback.format_exc()}", flush=True)
        return Counter({CONTRADICTIONS: 1})


def soak(num_steps: int, first: int = 0, num_processes: int = 1) -> Counter[str]:
    """Worlds until there are as many steps."""
    counts: Counter[str] = Counter()
    for each in _results(first, num_processes):
        before = counts["steps"]
        counts += each
        if counts["steps"] // PROGRESS > before // PROGRESS:
            print(f"{counts['steps']:,} steps, {counts[CONTRADICTIONS]} contradictions", flush=True)
        if counts["steps"] >= num_steps:
            break
    return counts


def _results(first: int, num_processes: int) -> Iterator[Counter[str]]:
    if num_processes == 1:
        seed = first
        while True:
            yield soak_one(seed)
            seed += 1
    with ProcessPoolExecutor(num_processes) as pool:
        while True:
            yield from pool.map(soak_one, range(first, first + 100))
            first += 100


def interrupt_lines(scenario: str, shape: str, stride: int = 1) -> Counter[str]:
    """An interrupt before each line of a scenario, and for every tenth a second one soon after."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random, counts = Random(0), Counter[str]()
    for line in range(1, num_lines(scenario, shape) + 1, stride):
        second = [line + random.randint(1, 60)] if random.random() < 0.1 else []
        counts["lines interrupted"] += 1
        counts["interrupted twice"] += len(second)
        try:
            interrupt(scenario, shape, line, *second)
        except Exception:
            print(traceback.format_exc(), flush=True)
            counts[CONTRADICTIONS] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--interrupts", action="store_true", help="every line of the scenarios")
    args = parser.parse_args()
    begin = time.perf_counter()
    if args.interrupts:
        counts: Counter[str] = Counter()
        for scenario in SCENARIOS:
            for shape in SHAPES:
                counts += interrupt_lines(scenario, shape)
                lines = counts["lines interrupted"]
                print(f"{scenario}, {shape}: {lines:,} lines so far", flush=True)
    else:
        counts = soak(args.steps, args.first, args.processes)
    for name, number in sorted(counts.items()):
        print(f"{name:20} {number:>12,}")
    print(f"{CONTRADICTIONS:20} {counts[CONTRADICTIONS]:>12,}")
    print(f"{'seconds':20} {time.perf_counter() - begin:>12,.0f}")
    sys.exit(counts[CONTRADICTIONS] > 0)


if __name__ == "__main__":
    main()
