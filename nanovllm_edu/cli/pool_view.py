"""The pool of KV blocks as a row of squares, one per physical block, in its sequence's colour.

Read next: `step_view.py`.
"""

from rich.text import Text

from nanovllm_edu.core.engine_state import EngineState

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
USED, SHARED, CACHED, FREE = "■", "▣", "▪", "·"
MOST_SQUARES = 256


def colour_of(seq_id: int) -> str:
    """The colour that a sequence has everywhere."""
    return COLOURS[seq_id % len(COLOURS)]


def pool(state: EngineState) -> Text:
    """Every block: used by one sequence, shared, cached (free but findable) or free."""
    if len(state.blocks) > MOST_SQUARES:
        return counts(state)
    owners = {block: seq for seq, table in state.block_tables.items() for block in table}
    squares = Text()
    for block in state.blocks:
        if block.ref_count > 1:
            squares.append(SHARED, "bold white")
        elif block.state == "used":
            squares.append(USED, colour_of(owners[block.block_id]))
        else:
            squares.append(CACHED if block.state == "cached" else FREE, "dim")
    return squares.append("  ").append_text(counts(state))


def counts(state: EngineState) -> Text:
    """How many blocks are in which state."""
    parts = (f"{state.num_blocks(name)} {name}" for name in ("used", "cached", "free"))
    return Text(f"{', '.join(parts)} of {len(state.blocks)} blocks", "dim")


def legend() -> Text:
    """What the squares mean."""
    return Text.assemble(
        (f"{USED} used by one sequence (its colour)   ", "dim"),
        (SHARED, "bold white"),
        (f" shared   {CACHED} cached: free, but findable   {FREE} free", "dim"),
    )
