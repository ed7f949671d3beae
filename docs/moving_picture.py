"""Draws the moving picture of the README anew: `.venv/bin/python docs/moving_picture.py`.

A real run, step by step: the answers grow, the timeline fills, blocks are shared, preempted and
evicted. It is one SVG without a script. What appears at a step is an element whose visibility
changes then, in a CSS animation that begins again when it is over; who asked for less motion sees
the last step. Colours follow the reader's light or dark system.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path

from nanovllm_edu import LLM, SamplingParams
from nanovllm_edu.cli.demo import SYSTEM
from nanovllm_edu.core.step_record import StepRecord, kind_of
from nanovllm_edu.introspect import Recorder, Recording
from nanovllm_edu.lessons.pictures import colour_of

PICTURE = Path(__file__).resolve().parent / "assets" / "moving.svg"
ARRIVALS = {
    0: ["What is a KV cache?"],
    3: ["What is preemption?", "Who is the baker?"],
    6: ["What is a block table?"],
}
"""Step -> the questions that arrive before it."""
OPTIONS = {"block_size": 4, "num_blocks": 28, "max_num_batched_tokens": 64}

SECONDS_PER_STEP, SECONDS_AT_THE_END = 0.5, 4.0
WIDTH, HEIGHT, LEFT, CELL, ROW = 800, 482, 16, 26, 66
TIMELINE, POOL = 320, 418  # where these parts begin, from the top
LINE = 98  # characters, in the widest font that a reader may have

STYLE = """
svg { color: #1d2530; --pale: #f1f3f6; --line: #c3cad4; --dim: #5a6372; background: #fff; }
@media (prefers-color-scheme: dark) {
  svg { color: #e3e8ee; --pale: #1d232b; --line: #3a4450; --dim: #a3aebc; background: #14181e; }
}
text { font: 14px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: currentColor; }
.dim { fill: var(--dim); } .free { fill: none; stroke: var(--line); }
.kept { fill: var(--pale); stroke: var(--line); stroke-dasharray: 3 2; }
.light { fill-opacity: .55; } .off { visibility: hidden; }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; } }
"""


@dataclass
class Film:
    """The moments at which elements come and go."""

    num_steps: int
    spans: set[tuple[int, int]] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        return self.num_steps * SECONDS_PER_STEP + SECONDS_AT_THE_END

    def during(self, first: int, end: int) -> str:
        """The classes of what is visible from one step on and before another, or to the end."""
        if (first, end) == (0, self.num_steps):
            return ""
        self.spans.add((first, end))
        return f"at{first}-{end}" + " off" * (end < self.num_steps)

    def styles(self) -> str:
        """A rule and its keyframes for every such span."""
        return "\n".join(
            f".at{first}-{end}{{animation:k{first}-{end} {self.seconds:g}s step-end infinite}}"
            f"@keyframes k{first}-{end}{{{self._keyframes(first, end)}}}"
            for first, end in sorted(self.spans)
        )

    def _keyframes(self, first: int, end: int) -> str:
        begin, over = (100 * step * SECONDS_PER_STEP / self.seconds for step in (first, end))
        frames = ["0%{visibility:hidden}"] * (first > 0) + [f"{begin:.2f}%{{visibility:visible}}"]
        if end < self.num_steps:
            frames += [f"{over:.2f}%{{visibility:hidden}}"]
        return "".join(frames)


def record() -> Recording:
    """The run: four questions under one system message, in a pool that is too small for them."""
    params, arrivals = SamplingParams(temperature=0, max_tokens=40), dict(ARRIVALS)
    with LLM(device="cpu", **OPTIONS) as llm, Recorder(llm) as recorder:
        while arrivals or llm.engine.has_unfinished_requests():
            for question in arrivals.pop(len(recorder), ()):
                chat = [("system", SYSTEM), ("user", question)]
                messages = [{"role": role, "content": content} for role, content in chat]
                recorder.add_request(llm.tokenizer.chat_prompt(messages), params)
            recorder.step()
        return recorder.recording


def draw(recording: Recording) -> str:
    """The whole picture."""
    film = Film(len(recording))
    parts = [x for part in (answers, timeline, pool, reasons) for x in part(film, recording)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(words(recording))}">\n<style>{STYLE}{film.styles()}</style>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="none" '
        f'stroke="var(--line)"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def words(recording: Recording) -> str:
    """The picture for those who do not see it."""
    return (
        f"A run of {len(recording)} steps: four questions under one system message, answered in "
        "one batch. Their common beginning is computed once and its blocks are shared; when the "
        f"{OPTIONS['num_blocks']} blocks run out, one sequence gives way and is computed again."
    )


def answers(film: Film, recording: Recording) -> Iterator[str]:
    """Each question, and its answer as it grows, a token a step."""
    questions = [(step, text) for step, texts in ARRIVALS.items() for text in texts]
    for seq_id, (arrival, question) in enumerate(questions):
        y = 30 + ROW * seq_id
        yield (
            f'<g class="{film.during(arrival, film.num_steps)}">'
            f'<rect x="{LEFT}" y="{y - 12}" width="14" height="14" rx="3" '
            f'fill="{colour_of(seq_id)}"/>'
            f'<text class="dim" x="{LEFT + 24}" y="{y}">{escape(question)}</text></g>'
        )
        tokens, column = "", 0
        for step, piece in answer(recording, seq_id):
            is_next_line = column <= LINE < column + len(piece)
            column += len(piece)
            place = f' x="{LEFT + 24}" dy="19"' if is_next_line else ""
            shown = escape(piece.lstrip() if is_next_line else piece)
            during = film.during(step, film.num_steps)
            tokens += f'<tspan class="{during}"{place}>{shown}</tspan>'
        yield f'<text x="{LEFT + 24}" y="{y + 20}" xml:space="preserve">{tokens}</text>'


def answer(recording: Recording, seq_id: int) -> Iterator[tuple[int, str]]:
    """The step at which each token came, and its text; the one that ends the answer has none."""
    for step, each in enumerate(recording):
        for token_id in each.new_tokens.get(seq_id, ()):
            piece = recording.pieces[token_id]
            if not piece.startswith("<"):
                yield step, piece


def timeline(film: Film, recording: Recording) -> Iterator[str]:
    """A column per step, a row per sequence: dark is prefill, light decode, pale waiting."""
    width = (WIDTH - 2 * LEFT - 90) / film.num_steps
    yield f'<text class="dim" x="{LEFT}" y="{TIMELINE - 10}">who is computed in each step</text>'
    for step, each in enumerate(recording):
        cells = [
            (span.seq_id, "light" if kind_of(span) == "decode" else "", colour_of(span.seq_id))
            for span in each.spans
        ]
        cells += [(seq_id, "", "var(--pale)") for seq_id in each.waiting]
        drawn = "".join(
            f'<rect class="{kind}" x="{LEFT + 90 + step * width:.1f}" y="{TIMELINE + 17 * seq_id}" '
            f'width="{width - 2:.1f}" height="14" rx="2" fill="{colour}"/>'
            for seq_id, kind, colour in cells
        )
        yield f'<g class="{film.during(step, film.num_steps)}">{drawn}</g>'
    for seq_id in range(4):
        yield f'<text class="dim" x="{LEFT}" y="{TIMELINE + 12 + 17 * seq_id}">seq {seq_id}</text>'


def pool(film: Film, recording: Recording) -> Iterator[str]:
    """A square per block: whose it is, kept for the cache, or free."""
    states = [recording.state_at(step) for step in range(film.num_steps)]
    yield f'<text class="dim" x="{LEFT}" y="{POOL - 8}">the blocks of the KV cache</text>'
    for block in range(OPTIONS["num_blocks"]):
        looks = [look(state, block) for state in states]
        for shown, group in groupby(range(film.num_steps), key=looks.__getitem__):
            steps = list(group)
            during = film.during(steps[0], steps[-1] + 1)
            yield f'<g class="{during}">{square(LEFT + block * (CELL + 1.4), shown)}</g>'


def look(state, block: int) -> tuple[int, ...] | str:
    """The sequences that hold a block, or "cached", or "free"."""
    users = tuple(seq_id for seq_id, table in state.block_tables.items() if block in table)
    return users or ("cached" if state.blocks[block].state == "cached" else "free")


def square(x: float, shown: tuple[int, ...] | str) -> str:
    """One block; a shared one has a stripe for each of its users."""
    if isinstance(shown, str):
        kind = "kept" if shown == "cached" else "free"
        place = f'x="{x + 0.5:.1f}" y="{POOL + 0.5}" width="{CELL - 1}" height="{CELL - 1}"'
        return f'<rect class="{kind}" {place} rx="3"/>'
    height = CELL / len(shown)
    return "".join(
        f'<rect x="{x:.1f}" y="{POOL + place * height:.1f}" width="{CELL}" '
        f'height="{height:.1f}" fill="{colour_of(seq_id)}"/>'
        for place, seq_id in enumerate(shown)
    )


def reasons(film: Film, recording: Recording) -> Iterator[str]:
    """What was decided, until something else is."""
    said = [(step, text) for step, each in enumerate(recording) if (text := decision(each))]
    ends = [step for step, _ in said[1:]] + [film.num_steps]
    for (step, text), end in zip(said, ends, strict=True):
        line, place = escape(f"step {step}: {text}"), f'x="{LEFT}" y="{POOL + 48}"'
        yield f'<text class="{film.during(step, end)}" {place}>{line}</text>'


def decision(record: StepRecord) -> str:
    """The most telling decision of a step, in a few words."""
    found = {type(event).__name__: event for event in record.events}
    if event := found.get("Preempted"):
        return f"no block is free, so seq {event.seq_id} gives way and waits"
    if event := found.get("Admitted"):
        again = f"{event.num_cached_tokens} of its {event.num_tokens} tokens are in the cache"
        return f"seq {event.seq_id} starts: {again}"
    if event := found.get("Finished"):
        return f"seq {event.seq_id} is finished; its blocks are kept until somebody needs them"
    if event := found.get("BlockEvicted"):
        return f"block {event.block_id} forgets what nobody uses"
    return ""


if __name__ == "__main__":
    PICTURE.write_text(draw(record()), encoding="utf-8")
