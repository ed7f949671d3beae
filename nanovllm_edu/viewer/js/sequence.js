// The selected sequence: its facts, and its text, coloured by how each token came.
// Read next: blocks.js, where its tokens lie.

import { kindOf, markLink } from "./blocks.js";
import { count, h, legend, panel, plural, setText, shown } from "./dom.js";
import { colourOf, paintSwatch, swatch } from "./ink.js";

const WINDOW = 224, STRIDE = 64; // tokens of a long text that are in the page, and how it moves
const FACTS = ["prompt", "generated", "in the cache", "cached by prefix"];

export class SequencePanel {
  constructor(viewer) {
    this.viewer = viewer;
    this.facts = FACTS.map(() => h("b"));
    this.params = h("span.nv-dim");
    this.text = h("div.nv-text", { tabIndex: 0, role: "group", "aria-label": "Text, token by token: "
      + "left and right choose a token", onkeydown: (event) => this.onKey(event) });
    this.scroll = h("div.nv-scroll", {}, this.text);
    this.live = h("div.nv-hidden", { "aria-live": "polite" });
    this.filled = h("div.nv-filled", {}, h("p.nv-facts.nv-from-why", {}, FACTS.map((name, i) =>
      h("span", {}, `${name} `, this.facts[i])), this.params), this.scroll,
    legend([["t-cached", "cached"], ["t-prefill", "prefill"], ["t-decode", "decode"],
      ["t-pending", "not in the cache yet"]]), this.live);
    this.empty = h("p.nv-empty");
    const { el, note } = panel("sequence", "Sequence", this.empty, this.filled);
    el.querySelector("h3").replaceChildren((this.mark = swatch()), (this.title = h("span")));
    Object.assign(this, { el, note });
    viewer.linkTokens(this.text);
  }

  update(moment) {
    const { viewer } = this, { replay } = viewer, id = viewer.selection.seq;
    const isThere = replay.requests.has(id) && viewer.isKnown(id, moment);
    this.filled.hidden = this.mark.hidden = !isThere;
    this.empty.hidden = isThere;
    setText(this.empty, replay.requests.size ? "Click a sequence, a block or a row of the timeline."
      : "There is no sequence yet: add a prompt and take a step.");
    setText(this.title, isThere ? ` Sequence ${id}` : "Sequence");
    this.seq = isThere ? moment.sequence(id) : null;
    if (!isThere) return setText(this.note, "");
    paintSwatch(this.mark, id);
    this.el.style.setProperty("--seq", colourOf(id));
    return this.showFacts(this.seq, moment);
  }

  settle(moment) {
    if (!this.seq) return;
    this.showText(this.seq, moment);
    this.highlight();
    this.bringIntoView();
  }

  showFacts(seq, { k, isGone }) {
    const { replay } = this.viewer, end = isGone ? replay.notes.ended.get(seq.id) : null;
    const step = end && Math.min(end.step, replay.numSteps - 1);
    const verb = end?.reason === "error" ? "failed" : "finished";
    setText(this.note, end ? `${verb} in step ${replay.entry(step)?.step ?? k}: ${end.detail}`
      : seq.row === null ? "waiting" : `running in row ${seq.row}`);
    [seq.prompt, seq.known - seq.prompt, isGone ? "given back" : seq.computed, seq.hit]
      .forEach((value, i) => setText(this.facts[i], String(value)));
    const params = Object.entries(seq.params ?? replay.requests.get(seq.id).params);
    setText(this.params, params.map(([name, value]) => `${name} ${value}`).join(" · "));
  }

  // ---- the text: a window of a long one, which follows what is selected

  showText(seq, { fresh }) {
    const { replay } = this.viewer, tokens = replay.tokens.get(seq.id);
    const first = this.firstShown(seq), end = Math.min(seq.known, first + WINDOW), parts = [];
    const [from, to] = fresh.get(seq.id) ?? [-1, -1];
    if (first) parts.push(["", "nv-more", `… ${plural(first, "token")} before …`]);
    for (let i = first; i < end; i++) {
      if (i === seq.prompt && i > first) parts.push(["", "nv-turn", ""]);
      const isNew = i >= from && i < to;
      parts.push([String(i), `nv-token nv-t-${kindOf(seq, i)}${isNew ? " nv-fresh" : ""}`,
        shown(replay.text(tokens[i]))]);
    }
    if (end < seq.known) parts.push(["", "nv-more", `… ${count(seq.known - end)} more …`]);
    this.text.classList.toggle("nv-ids", !replay.hasText);
    this.fillText(parts);
  }

  firstShown(seq) {
    const latest = Math.max(0, Math.floor((seq.known - WINDOW + STRIDE) / STRIDE) * STRIDE);
    const { selection, now, replay } = this.viewer;
    const logical = selection.block === null ? -1 : now.tableOf(seq.id).indexOf(selection.block);
    const focus = selection.position ?? (logical < 0 ? null : logical * replay.blockSize);
    if (focus === null || focus >= latest) return latest;
    return Math.floor(focus / STRIDE) * STRIDE;
  }

  // Spans are kept from step to step; only those that differ are touched.
  fillText(parts) {
    const { text } = this;
    parts.forEach(([position, name, words], i) => {
      const span = text.children[i] ?? text.appendChild(h("span"));
      if (span.kind !== name) span.className = span.kind = name;
      setText(span, words);
      if (position === "") delete span.dataset.pos;
      else if (span.dataset.pos !== position) span.dataset.pos = position;
    });
    while (text.children.length > parts.length) text.lastChild.remove();
  }

  onKey(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key], { viewer, seq } = this;
    if (!move || !seq) return;
    const from = viewer.selection.position ?? seq.known - (move > 0 ? 2 : 0);
    const position = Math.max(0, Math.min(seq.known - 1, from + move));
    const link = viewer.linkOfPosition(seq.id, position);
    viewer.select(link);
    this.live.textContent = `token ${position}: ${viewer.replay.text(viewer.replay.tokens.get(seq.id)[position])}` +
      `, ${kindOf(seq, position)}, block ${link.block ?? "none"}`;
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- what is selected or hovered elsewhere stands out here

  highlight() {
    const { hovered, selection, replay, now } = this.viewer;
    const isCalm = !hovered && selection.block === null && selection.position === null;
    if (isCalm && this.wasCalm) return;
    this.wasCalm = isCalm;
    markLink(this.text, "nv-hover", hovered);
    markLink(this.text, "nv-selected", selection);
    const block = hovered?.block ?? selection.block;
    const logical = block === null ? -1 : now.tableOf(selection.seq).indexOf(block);
    for (const span of this.text.children) {
      const position = span.dataset.pos;
      span.classList.toggle("nv-linked", logical >= 0 && position !== undefined &&
        Math.floor(position / replay.blockSize) === logical);
    }
  }

  // Only after a choice: while steps pass, the newest token stays in sight by itself.
  bringIntoView() {
    const { selection } = this.viewer;
    if (selection === this.broughtIn) return;
    this.broughtIn = selection;
    const span = this.text.querySelector(".nv-selected") ?? this.text.querySelector(".nv-linked");
    if (!span) return;
    const box = this.scroll.getBoundingClientRect(), { top, bottom } = span.getBoundingClientRect();
    if (top < box.top) this.scroll.scrollTop -= box.top - top + 8;
    if (bottom > box.bottom) this.scroll.scrollTop += bottom - box.bottom + 8;
  }
}
