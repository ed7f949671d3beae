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
from nanovllm_edu.core.engine_state import EngineState
from nanovllm_edu.core.events import BlocksCached, BlocksFreed, counted
from nanovllm_edu.core.plan import Span
from nanovllm_edu.core.step_record import StepRecord, kind_of
from nanovllm_edu.introspect.labels import LABELS
from nanovllm_edu.tokenizer import Tokenizer

STYLES = {
    "admit": "green",
    "match": "cyan",
    "share": "cyan",
    "allocate": "blue",
    "cache": "dim",
    "evict": "yellow",
    "free": "dim",
    "preempt": "bold red",
    "verify": "magenta",
    "no guess": "red",
    "finish": "bold green",
}
"""What an event is called -> how that is printed."""

DETAILS = (BlocksCached, BlocksFreed)
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
    _token_ids: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def panel(self, step: StepRecord, state: EngineState) -> Panel:
        """The step that was just taken; `state` is the engine after it."""
        for joined in step.plan.joined:
            self._token_ids[joined.seq_id] = list(joined.token_ids)
        parts: list[RenderableType] = [self._work(step), _queues(step, state)]
        reasons = list(self._reasons(step))
        if reasons:
            parts.append(_why_grid(reasons))
        for seq_id, token_ids in step.new_tokens.items():
            self._token_ids[seq_id] += token_ids
        work = f"{counted(step.num_tokens, 'token')} of {counted(len(step.spans), 'sequence')}"
        title = f"[bold]step {step.step_id}[/]: {work}"
        return Panel(Group(*parts), title=title, title_align="left", border_style="dim")

    def _work(self, step: StepRecord) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("seq", "work", "positions", "tokens in", "token out", "block table"):
            table.add_column(name, no_wrap=name != "block table")
        for span in step.spans:
            table.add_row(
                str(span.seq_id),
                kind_of(span),
                f"{span.start}–{span.end - 1}" if span.num_tokens > 1 else f"{span.start}",
                quoted(self._tokens_in(span), 30),
                self._tokens_out(step, span),
                _block_table(step, span),
                style=colour_of(span.seq_id),
            )
        return table

    def _tokens_in(self, span: Span) -> str:
        known = self._token_ids[span.seq_id][span.start : span.end - span.num_drafted]
        return self.tokenizer.decode([*known, *span.drafted], skip_special_tokens=False)

    def _tokens_out(self, step: StepRecord, span: Span) -> str:
        reason = step.finished.get(span.seq_id)
        if span.seq_id not in step.new_tokens:
            if reason:
                return f"({reason})"
            return "(dropped)" if span.is_sampled else "(more of the prompt to come)"
        pieces = self.tokenizer.pieces(list(step.new_tokens[span.seq_id]))
        text = " ".join(map(quoted, pieces))
        return f"{text} ({reason})" if reason else text

    def _reasons(self, step: StepRecord) -> Iterator[tuple[str, str, str]]:
        """(label, style, sentence) of each event worth showing, then why the head waits."""
        for event in step.events:
            if self.shows_every_event or not isinstance(event, DETAILS):
                label = LABELS[type(event)]
                yield label, STYLES[label], event.why
        if step.blocked:
            yield "wait", "yellow", step.blocked.why


def _block_table(step: StepRecord, span: Span) -> Text:
    """The sequence's blocks; those that are new to it in bold."""
    updates = [update for update in step.plan.block_updates if update.row == span.row]
    new = {block_id for update in updates for block_id in update.block_ids}
    text = Text()
    for block_id in step.block_tables.get(span.seq_id, ()):
        text.append(f"{block_id} ", "bold" if block_id in new else "")
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
