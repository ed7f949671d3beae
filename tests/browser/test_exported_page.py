"""The exported page in a real browser: what it shows is what the recording says."""

import json

import pytest

from nanovllm_edu.core.events import EVENT_TYPES
from nanovllm_edu.introspect import to_html
from nanovllm_edu.introspect.spans import step_spans
from nanovllm_edu.introspect.view import encode_view
from tests.browser.recordings import (
    Letters,
    eventful_recording,
    guessed_recording,
    large_block_recording,
    overlapped_recording,
)
from tests.introspect.workload import play

pytestmark = pytest.mark.browser
VIEWER = "document.querySelector('.nv').viewer"


@pytest.fixture
def page(shared_page):
    """The exported page as it is when it opens."""
    shared_page.evaluate(
        f"{VIEWER}.stop(); {VIEWER}.select({{ seq: 0 }}); {VIEWER}.goto(0); {VIEWER}.hover(null)"
    )
    shared_page.mouse.move(0, 0)
    return shared_page


def go(page, k):
    page.evaluate(f"{VIEWER}.goto({k})")
    page.wait_for_timeout(350)  # long lists are completed once nobody scrubs


def wait_for(page, condition):
    """Playwright's own waiting evaluates text, which the page's policy rightly forbids."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {condition}")


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


def block_at(page, block):
    """Where to click for a block, relative to the pool's frame."""
    x, y = page.evaluate(f"{VIEWER}.pool.place({block})")
    size = page.evaluate(f"{VIEWER}.pool.g.size")
    return {"x": x + size / 2, "y": y + size / 2}


# ------------------------------------------------------------------- the same states


@pytest.mark.parametrize(
    "options", [{}, {"depth": 2}, {"fail_at": (9, 17)}, {"depth": 2, "fail_at": (9, 17)}]
)
def test_javascript_folds_the_states_that_python_folds(page, options):
    for seed in range(4):
        recording = play(seed, **options).recorder.recording
        states = page.evaluate(
            f"""doc => {{
              const Replay = {VIEWER}.replay.constructor, replay = new Replay(doc);
              return Array.from({{ length: replay.numSteps }}, (_, k) => replay.stateDict(k));
            }}""",
            encode_view(recording),
        )
        for k in range(len(recording) - 1):  # after the last step the page shows later requests too
            expected = json.loads(json.dumps(recording.state_at(k).to_dict()))
            assert states[k] == expected, f"seed {seed}, step {k}"


@pytest.mark.parametrize("options", [{}, {"depth": 1}, {"depth": 2, "fail_at": (9, 17)}])
def test_javascript_times_the_phases_as_python_does(page, options):
    recording = play(2, **options).recorder.recording
    shown = page.evaluate(
        f"""doc => {{
          const Replay = {VIEWER}.replay.constructor, replay = new Replay(doc);
          return replay.steps.map((_, k) => replay.spans(k));
        }}""",
        encode_view(recording),
    )
    for spans, seen in zip(step_spans(recording), shown, strict=True):
        assert [phase for phase, *_ in seen["launch"]] == [phase for phase, *_ in spans.launch]
        edges = [edge for _, *pair in seen["launch"] for edge in pair]
        expected = [edge for _, *pair in spans.launch for edge in pair]
        assert edges == pytest.approx([1e6 * edge for edge in expected], abs=2)
        for name in ("flight", "commit"):
            assert seen[name] == pytest.approx([1e6 * x for x in getattr(spans, name)], abs=2)


def test_every_kind_of_event_is_shown_with_its_sentence(page):
    seen = set()
    for seed in range(12):
        recording = play(seed).recorder.recording
        shown = page.evaluate(
            f"""doc => {{
              const Replay = {VIEWER}.replay.constructor, replay = new Replay(doc);
              return replay.steps.map((_, k) => replay.events(k));
            }}""",
            encode_view(recording),
        )
        for record, events in zip(recording, shown, strict=True):
            assert [event["why"] for event in events] == [event.why for event in record.events]
            assert [event["kind"] for event in events] == [
                type(event).__name__ for event in record.events
            ]
            seen |= {event["kind"] for event in events if event["label"]}
    assert seen == set(EVENT_TYPES)


def test_events_come_in_the_order_of_the_record(page, recording):
    for k, record in enumerate(recording):
        why = page.evaluate(f"{VIEWER}.replay.events({k}).map(event => event.why)")
        assert why == [event.why for event in record.events]


# ------------------------------------------------------------------------ what is shown


@pytest.mark.parametrize("k", [0, 3, 9, 14, 20])
def test_the_panels_show_the_step(page, recording, k):
    go(page, k)
    record, state = recording[k], recording.state_at(k)
    assert f"step {record.step_id}" in page.locator(".nv-step").inner_text()
    queues = [texts(page, f".nv-queue:nth-of-type({i}) .nv-chip b") for i in (1, 2)]
    assert queues == [[f"seq {i}" for i in ids] for ids in (state.waiting, state.running)]
    if record.blocked:
        assert record.blocked.detail in page.locator(".nv-queues .nv-reason").inner_text()
    note = page.locator(".nv-pool .nv-note").inner_text()
    for kind in ("used", "cached", "free"):
        assert f"{state.num_blocks(kind)} {kind}" in note
    assert f"{record.num_tokens} of 12 tokens" in page.locator(".nv-budget .nv-note").inner_text()
    rows = texts(page, ".nv-budget .nv-row .nv-num")
    assert rows == [f"[{s.start}, {s.end})" for s in record.spans]
    assert len(texts(page, ".nv-event")) == len(record.events)
    for event, shown in zip(record.events, texts(page, ".nv-event span:last-child"), strict=True):
        assert event.why in shown


@pytest.mark.parametrize("k", [0, 5, 12])
def test_the_tensors_are_those_of_the_batch(page, recording, k):
    go(page, k)
    record, expected = recording[k], []
    tokens = recording.fold_to(k).history.token_ids
    for span in record.spans:
        for position in range(span.start, span.end):
            slot = record.block_tables[span.seq_id][position // 4] * 4 + position % 4
            expected.append(f"{tokens[span.seq_id][position]}\n{position}\n{slot}")
    assert texts(page, ".nv-cells3") == expected
    cells = texts(page, ".nv-tensor-seqs .nv-cells")
    starts = [sum(s.num_tokens for s in record.spans[:i]) for i in range(len(record.spans) + 1)]
    assert cells[0].split() == [str(start) for start in starts]
    assert cells[1].split() == [str(span.end) for span in record.spans]


def test_a_block_leads_to_its_tokens_and_its_slots(page, recording, shoot):
    go(page, 8)
    state = recording.state_at(8)
    seq_id = state.running[1]
    block = state.block_tables[seq_id][2]
    page.locator(".nv-pool-frame").click(position=block_at(page, block))
    assert f"Sequence {seq_id}" in page.locator(".nv-sequence h3").inner_text()
    linked = [
        int(i)
        for i in page.eval_on_selector_all(".nv-linked", "all => all.map(e => e.dataset.pos)")
    ]
    known = len(state.sequences[seq_id].token_ids)
    assert linked == list(range(8, min(12, known)))
    card = page.locator(".nv-card.nv-selected")
    assert f"block {block}" in card.inner_text()
    assert f"slots {4 * block}–{4 * block + 3}" in card.inner_text()
    shoot(page, "page-block-selected")


def test_a_token_leads_to_its_block_and_its_column(page, recording):
    go(page, 8)
    state = recording.state_at(8)
    seq_id = state.running[0]
    page.locator(f".nv-chip[data-seq='{seq_id}']").click()
    newest = state.sequences[seq_id].num_computed_tokens - 1
    page.locator(f".nv-text [data-pos='{newest}']").hover()
    assert page.evaluate(f"{VIEWER}.hovered.block") == state.block_tables[seq_id][newest // 4]
    assert page.locator(".nv-column.nv-hover .nv-cells3").inner_text().split()[1] == str(newest)
    page.locator(".nv-text [data-pos='1']").click()
    assert page.evaluate(f"{VIEWER}.selection.block") == state.block_tables[seq_id][0]
    assert page.locator(".nv-slot.nv-selected").get_attribute("title").startswith("position 1 ")


def test_the_text_is_coloured_by_how_it_came(page, recording):
    go(page, 8)
    hit = next(s for s in recording[0].spans[::-1] if s.start)
    page.locator(f".nv-chip[data-seq='{hit.seq_id}']").click()
    state = recording.state_at(8).sequences[hit.seq_id]
    kinds = page.eval_on_selector_all(
        ".nv-text .nv-token", "all => all.map(e => /nv-t-(\\w+)/.exec(e.className)[1])"
    )
    num_decoded = state.num_computed_tokens - state.num_prompt_tokens
    assert kinds == (
        ["cached"] * hit.start
        + ["prefill"] * (state.num_prompt_tokens - hit.start)
        + ["decode"] * num_decoded
        + ["pending"]
    )


def test_a_finished_sequence_keeps_its_colours(page, recording):
    seq_id, k = next((i, k) for k, r in enumerate(recording) for i in r.finished)
    go(page, k + 2)
    page.locator(f".nv-chip[data-seq='{seq_id}']").click()
    kinds = page.eval_on_selector_all(
        ".nv-text .nv-token", "all => all.map(e => /nv-t-(\\w+)/.exec(e.className)[1])"
    )
    assert "decode" in kinds
    assert kinds.count("pending") == 1  # its last token was never put through the model
    assert f"finished in step {recording[k].step_id}" in page.locator(".nv-sequence").inner_text()


def test_the_hash_chain_shows_where_the_match_stopped(page, recording):
    go(page, 8)
    hit = next(s for s in recording[0].spans[::-1] if s.start)
    page.locator(f".nv-chip[data-seq='{hit.seq_id}']").click()
    state = recording.state_at(8)
    blocks = [state.blocks[i] for i in state.block_tables[hit.seq_id]]
    links = texts(page, ".nv-links li")
    expected = ["not cached" if b.hash is None else f"{b.hash:016x}"[:6] for b in blocks]
    num_found = hit.start // 4
    assert links == [*expected[:num_found], "match stopped here", *expected[num_found:]]
    assert page.locator(".nv-link.nv-found").count() == num_found
    why = next(e for e in recording[0].events if getattr(e, "stopped_at", 0))
    assert why.stopped_because in page.locator(".nv-chain .nv-reason").inner_text()


def test_a_choice_survives_steps_at_which_it_is_not_there(page, recording):
    go(page, 14)
    page.locator(".nv-chip[data-seq='5']").click()
    go(page, 0)
    assert "Sequence 0" in page.locator(".nv-sequence h3").inner_text()
    go(page, 14)
    assert "Sequence 5" in page.locator(".nv-sequence h3").inner_text()


def test_the_budget_bar_leads_to_its_sequences(page, recording):
    go(page, 1)
    span = recording[1].spans[-1]
    box = page.locator(".nv-budget-bar").bounding_box()
    tokens_before = recording[1].num_tokens - span.num_tokens / 2
    page.locator(".nv-budget-bar").click(
        position={"x": box["width"] * tokens_before / 12, "y": box["height"] / 2}
    )
    assert page.evaluate(f"{VIEWER}.selection.seq") == span.seq_id


# ---------------------------------------------------------------- other kinds of recordings


def test_large_blocks_without_a_tokenizer(open_page, tmp_path, shoot):
    recording = large_block_recording()
    page = open_page(to_html(recording, tmp_path / "x.html").as_uri())
    go(page, 3)
    state = recording.state_at(3)
    page.locator(".nv-chip[data-seq='1']").click()
    block = state.block_tables[1][1]
    page.locator(".nv-pool-frame").click(position=block_at(page, block))
    linked = page.eval_on_selector_all(".nv-linked", "all => all.map(e => +e.dataset.pos)")
    assert linked[0] == 256
    assert linked == list(range(256, 256 + len(linked)))
    tokens = state.sequences[1].token_ids
    assert page.locator(".nv-text [data-pos='300']").inner_text() == str(tokens[300])
    page.locator(".nv-text [data-pos='300']").click()
    here = page.locator(".nv-card.nv-selected .nv-here")
    assert here.evaluate("e => e.style.left") == f"{100 * 44.5 / 256:.4f}%".rstrip("0")
    strip = page.locator(".nv-card").nth(0).locator(".nv-strip")
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] * 100.5 / 256, "y": 5})
    assert abs(page.evaluate(f"{VIEWER}.selection.position") - 100) <= 1  # a slot is one pixel
    foot = page.locator(".nv-card .nv-card-foot").last.inner_text()
    assert f"{state.sequences[1].num_computed_tokens - 768} of 256 filled" in foot
    shoot(page, "page-large-blocks")


def test_overlapped_steps_share_an_axis(open_page, tmp_path, shoot):
    recording = overlapped_recording()
    page = open_page(to_html(recording, tmp_path / "x.html").as_uri())
    go(page, 4)
    assert texts(page, ".nv-lane > span") == ["step 3", "step 4", "step 5"]
    labels = page.eval_on_selector_all(".nv-lane-track", "all => all.map(e => e.ariaLabel)")
    assert labels == [
        "step 3 was in flight when step 4 was planned",
        "step 4, from its plan to its commit",
        "step 5 was planned while step 4 was in flight",
    ]
    assert page.locator(".nv-lane[aria-current] .nv-span-flight").count() == 1
    shoot(page, "page-overlapped")


def test_a_step_shows_what_was_guessed_and_what_came_true(open_page, tmp_path, shoot):
    page = open_page(to_html(guessed_recording(), tmp_path / "x.html").as_uri())
    go(page, 1)
    assert texts(page, ".nv-gave .nv-dim")[0].strip() == "2 of 3 guesses"
    assert page.locator(".nv-accepted").count() == 2
    assert page.locator(".nv-rejected").count() == 1
    assert "a guess that was wrong" in page.locator(".nv-rejected").get_attribute("title")
    shoot(page, "page-guesses")


# ------------------------------------------------------------------------------- moving


def test_buttons_slider_and_timeline_move_the_step(page, recording):
    step = lambda: page.evaluate(f"{VIEWER}.step")  # noqa: E731
    page.locator("[data-action=next]").click()
    page.locator("[data-action=next]").click()
    page.locator("[data-action=back]").click()
    assert step() == 1
    page.locator(".nv-bar input").fill("7")
    wait_for(page, f"{VIEWER}.step === 7")
    page.locator("[data-action=last]").click()
    assert step() == len(recording) - 1
    page.locator("[data-action=first]").click()
    assert step() == -1
    assert "before the first step" in page.locator(".nv-step").inner_text()
    g = page.evaluate(
        "(({gutter, cell, top, rowHeight}) => ({gutter, cell, top, rowHeight}))"
        f"({VIEWER}.timeline.g)"
    )
    page.locator(".nv-timeline .nv-canvas").click(
        position={"x": g["gutter"] + 10.5 * g["cell"], "y": g["top"] + 2.5 * g["rowHeight"]}
    )
    assert step() == 10
    assert page.evaluate(f"{VIEWER}.selection.seq") == 2


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("hit", lambda r: any(getattr(e, "stopped_at", 0) for e in r.events)),
        ("preemption", lambda r: r.preempted),
        ("eviction", lambda r: any(type(e).__name__ == "BlockEvicted" for e in r.events)),
        ("finish", lambda r: r.finished),
    ],
)
def test_run_to_finds_the_next_one(page, recording, name, is_there):
    go(page, -1)
    expected = [k for k, record in enumerate(recording) if is_there(record)]
    assert expected
    for k in expected[:3]:
        page.locator(".nv-bar select").select_option(name)
        assert page.evaluate(f"{VIEWER}.step") == k


def test_the_keyboard_is_enough(page, recording, shoot):
    page.locator(".nv").focus()
    keys = ["ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"]
    for key, expected in zip(keys, [1, 2, 1, len(recording) - 1, -1], strict=True):
        page.keyboard.press(key)
        assert page.evaluate(f"{VIEWER}.step") == expected
    page.keyboard.press("Space")
    wait_for(page, f"{VIEWER}.step >= 1")
    page.keyboard.press("Space")
    stopped = page.evaluate(f"{VIEWER}.step")
    page.wait_for_timeout(600)
    assert page.evaluate(f"{VIEWER}.step") == stopped
    go(page, 8)
    page.locator(".nv-timeline .nv-canvas").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{VIEWER}.selection.seq") == 1
    page.locator(".nv-pool-frame").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{VIEWER}.selection.block") == 1
    assert page.evaluate(f"{VIEWER}.step") == 8
    assert "block 1 · used" in page.locator(".nv-pool [aria-live]").inner_text()
    page.locator(".nv-text").focus()
    newest = page.evaluate(f"{VIEWER}.now.sequence({VIEWER}.selection.seq).known") - 1
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(f"{VIEWER}.selection.position") == newest - 1
    assert f"token {newest - 1}" in page.locator(".nv-sequence [aria-live]").inner_text()
    event = page.locator(".nv-event").last
    event.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(f"{VIEWER}.selection.seq") == recording[8].events[-1].seq_id
    shoot(page, "page-keyboard")


def test_the_eviction_order_is_shown_on_demand(page, recording):
    k = next(k for k in range(len(recording)) if len(recording.state_at(k).eviction_order) > 2)
    go(page, k)
    page.locator(".nv-pool .nv-toggle").click()
    ranks = dict(page.evaluate(f"[...{VIEWER}.pool.ranks]"))
    order = recording.state_at(k).eviction_order
    assert ranks == {block: place + 1 for place, block in enumerate(order)}


# -------------------------------------------------------------------- faces and safety


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 900, 1280])
def test_it_fits_and_follows_the_theme(open_page, exported, theme, width, shoot):
    page = open_page(exported, color_scheme=theme, viewport={"width": width, "height": 1000})
    go(page, 12)
    assert page.locator(".nv").get_attribute("data-theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in page.locator(".nv-bar > *, .nv-step b").all():
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    shoot(page, f"page-{theme}-{width}")
    page.locator("[data-action=theme]").click()
    assert page.locator(".nv").get_attribute("data-theme") != theme


def test_screen_readers_get_names_and_a_table(page, recording):
    go(page, 8)
    page.wait_for_timeout(300)
    rows = texts(page, ".nv-pool table tbody tr td:nth-child(2)")
    assert rows == [block.state for block in recording.state_at(8).blocks]
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, select, input, canvas, [role=img]')].filter(e =>"
        " e.tagName !== 'CANVAS' && !(e.ariaLabel || e.textContent.trim())).length"
    )
    assert nameless == 0
    assert "14 blocks" in page.locator(".nv-pool-frame").get_attribute("aria-label")


def test_text_of_a_model_is_text(open_page, tmp_path):
    recording = eventful_recording(Letters())
    page = open_page(to_html(recording, tmp_path / "x.html", title="<i>t</i>").as_uri())
    go(page, 4)
    assert "<b>&amp;</b>" in page.locator(".nv-text").inner_text()
    assert page.locator(".nv-text b, .nv-events i").count() == 0


def test_an_empty_recording_says_what_to_do(open_page, tmp_path, shoot):
    from nanovllm_edu.engine import LLMEngine
    from nanovllm_edu.introspect import Recorder
    from nanovllm_edu.runners.checksum import ChecksumRunner

    recording = Recorder(LLMEngine(ChecksumRunner(8, 4))).recording
    page = open_page(to_html(recording, tmp_path / "x.html").as_uri())
    assert "add a prompt" in page.locator(".nv-sequence").inner_text()
    shoot(page, "page-empty")


def test_a_document_of_another_version_says_so(open_page, exported, tmp_path, recording, shoot):
    path = to_html(recording, tmp_path / "x.html")
    path.write_text(path.read_text().replace('"schema_version":3', '"schema_version":9', 1))
    page = open_page(path.as_uri())
    said = page.locator("[role=alert]").inner_text()
    assert "schema version 9" in said
    assert "open it with the version that wrote it" in said
    shoot(page, "page-error")
