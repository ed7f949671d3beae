"""One step as a panel: the work, the queues, the pool, and the reasons.

It shows what `engine.step()` returned and what `engine.state()` says after it, and computes nothing
of its own. Read next: `steps.py`, `core/plan.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nanovllm_edu.cli.pool_view import colour_of, pool
from nanovllm_edu.cli.terminal import quoted
from nanovllm_edu.core.events import (
    Admitted,
    BlockAllocated,
    BlockCached,
    BlockEvicted,
    BlockFreed,
    Event,
    Finished,
    Preempted,
    PrefixHit,
    TokenSampled,
)
from nanovllm_edu.core.plan import Chunk
from nanovllm_edu.core.step_record import EngineState, StepRecord
from nanovllm_edu.tokenizer import Tokenizer

LABELS: dict[type[Event], tuple[str, str]] = {
    Admitted: ("admit", "green"),
    PrefixHit: ("match", "cyan"),
    BlockAllocated: ("block", "blue"),
    BlockEvicted: ("evict", "yellow"),
    Preempted: ("preempt", "bold red"),
    Finished: ("finish", "bold green"),
    BlockCached: ("cache", "dim"),
    BlockFreed: ("free", "dim"),
    TokenSampled: ("token", "dim"),
}
"""Event -> (what it is called here, its style)."""

DETAILS = (BlockCached, BlockFreed, TokenSampled)
"""Events that are effects rather than decisions; shown only on request."""


@dataclass(slots=True)
class StepView:
    """Draws steps.

    Attributes:
        tokenizer: Turns token ids into what is shown.
        shows_every_event: Also effects, not only decisions.
    """

    tokenizer: Tokenizer
    shows_every_event: bool = False
    _last_token: dict[int, int] = field(default_factory=dict[int, int])

    def panel(self, step: StepRecord, state: EngineState) -> Panel:
        """The step that was just taken; `state` is the engine after it."""
        parts: list[RenderableType] = [self._work(step), _queues(step, state)]
        reasons = list(self._reasons(step))
        if reasons:
            parts.append(_why_grid(reasons))
        self._last_token.update(step.new_tokens)
        count = len(step.chunks)
        title = (
            f"[bold]step {step.step_id}[/]: {step.num_tokens} "
            f"token{'s' * (step.num_tokens != 1)} of {count} sequence{'s' * (count != 1)}"
        )
        return Panel(Group(*parts), title=title, title_align="left", border_style="dim")

    def _work(self, step: StepRecord) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("seq", "work", "positions", "tokens in", "token out", "block table"):
            table.add_column(name, no_wrap=name != "block table")
        for chunk in step.chunks:
            table.add_row(
                str(chunk.seq_id),
                "decode" if chunk.is_decode else "prefill",
                f"{chunk.start}–{chunk.end - 1}" if chunk.num_tokens > 1 else f"{chunk.start}",
                quoted(self._tokens_in(chunk), 30),
                self._token_out(step, chunk),
                _block_table(step, chunk),
                style=colour_of(chunk.seq_id),
            )
        return table

    def _tokens_in(self, chunk: Chunk) -> str:
        token_ids = chunk.token_ids or (self._last_token[chunk.seq_id],)
        return self.tokenizer.decode(list(token_ids), skip_special_tokens=False)

    def _token_out(self, step: StepRecord, chunk: Chunk) -> str:
        if chunk.seq_id not in step.new_tokens:
            return "(more of the prompt to come)" if not chunk.samples else "(dropped)"
        text = quoted(self.tokenizer.pieces([step.new_tokens[chunk.seq_id]])[0])
        reason = step.finished.get(chunk.seq_id)
        return f"{text} ({reason})" if reason else text

    def _reasons(self, step: StepRecord) -> Iterator[tuple[str, str, str]]:
        """(label, style, sentence) of each event worth showing, then why the head waits."""
        for event in step.events:
            if self.shows_every_event or not isinstance(event, DETAILS):
                yield (*LABELS[type(event)], event.why)
        if step.blocked:
            yield "wait", "yellow", step.blocked.why


def _block_table(step: StepRecord, chunk: Chunk) -> Text:
    """The sequence's blocks; those that are new to it in bold."""
    blocks = step.block_tables.get(chunk.seq_id, ())
    text = Text()
    for index, block_id in enumerate(blocks):
        is_new = chunk.first_block <= index < chunk.first_block + len(chunk.new_block_ids)
        text.append(f"{block_id} ", "bold" if is_new else "")
    return text


def _queues(step: StepRecord, state: EngineState) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row(Text("running", "dim"), _seq_ids(step.running))
    grid.add_row(Text("waiting", "dim"), _seq_ids(step.waiting))
    grid.add_row(Text("pool", "dim"), pool(state))
    return grid


def _seq_ids(seq_ids: tuple[int, ...]) -> Text:
    if not seq_ids:
        return Text("nobody", "dim")
    return Text(" ").join(Text(str(seq_id), colour_of(seq_id)) for seq_id in seq_ids)


def _why_grid(reasons: list[tuple[str, str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, style, sentence in reasons:
        grid.add_row(Text(label, style), Text(sentence))
    return grid
