// The batch of the step, one column per token; only the visible columns are in the page.

import { h, panel, plural, setText, shown } from "./dom.js";
import { colourOf, patternOf } from "./ink.js";

const MOST_SEQUENCES = 40; // listed in query_starts and context_lens

export class Tensors {
  constructor(viewer) {
    this.viewer = viewer;
    this.width = 58;
    const names = ["token_ids", "positions", "slot_mapping"];
    this.names = h("div.nv-tensor-names", {}, h("span", {}, ""), names.map((name) => h("code", {}, name)));
    this.inner = h("div.nv-tensor-inner");
    this.scroll = h("div.nv-tensor-scroll", { tabIndex: 0, role: "region",
      "aria-label": "token_ids, positions and slot_mapping, one column per token",
      onscroll: () => {
        this.left = this.scroll.scrollLeft;
        this.drawColumns();
      } }, this.inner);
    this.left = 0;
    this.perSeq = h("div.nv-tensor-seqs");
    this.empty = h("p.nv-empty", {}, "No token goes through the model.");
    this.filled = h("div", {}, h("div.nv-tensor", {}, this.names, this.scroll), this.perSeq);
    const { el, note } = panel("tensors", "Tensors of the step", this.empty, this.filled);
    Object.assign(this, { el, note });
    this.inner.addEventListener("pointerover", (event) => {
      const el = event.target.closest("[data-seq]");
      viewer.hover(el ? viewer.linkOfPosition(Number(el.dataset.seq), Number(el.dataset.at)) : null);
    });
    this.inner.addEventListener("pointerleave", () => viewer.hover(null));
    this.inner.addEventListener("click", (event) => {
      const el = event.target.closest("[data-seq]");
      if (el) viewer.select(viewer.linkOfPosition(Number(el.dataset.seq), Number(el.dataset.at)));
    });
  }

  measure() {
    this.visible = this.scroll.clientWidth || this.visible || this.el.clientWidth;
  }

  update(moment) {
    this.moment = moment;
    this.starts = [0];
    for (const span of moment.spans) this.starts.push(this.starts.at(-1) + span.num);
    const total = this.starts.at(-1);
    setText(this.note, moment.entry ? `${plural(total, "token")} of ${plural(moment.spans.length, "sequence")}` : "");
  }

  settle(moment) {
    const total = this.starts.at(-1);
    this.inner.style.width = `${total * this.width}px`;
    this.empty.hidden = total > 0;
    this.filled.hidden = !total;
    this.drawColumns();
    this.drawPerSequence(moment);
  }

  drawColumns() {
    const total = this.starts?.at(-1) ?? 0;
    const left = Math.min(this.left, Math.max(0, total * this.width - this.visible));
    const first = Math.max(0, Math.floor(left / this.width) - 2);
    const end = Math.min(total, Math.ceil((left + this.visible) / this.width) + 2);
    const columns = [];
    let row = 0;
    while (row + 2 < this.starts.length && this.starts[row + 1] <= first) row += 1;
    for (let i = first; i < end; i++) {
      while (this.starts[row + 1] <= i) row += 1;
      columns.push(this.column(i, this.moment.spans[row], i - this.starts[row]));
    }
    this.inner.replaceChildren(...columns);
    this.highlight();
  }

  column(i, span, offset) {
    const { replay } = this.viewer, position = span.start + offset, size = replay.blockSize;
    const block = (this.moment.tables.get(span.seq) ?? [])[Math.floor(position / size)];
    const guess = position - (span.end - span.drafted.length); // the last ones are guesses
    const token = guess < 0 ? replay.tokens.get(span.seq)[position] : span.drafted[guess];
    return h(`div.nv-column${offset ? "" : ".nv-first"}${guess < 0 ? "" : guess < span.accepted ? ".nv-accepted" : ".nv-rejected"}`, {
      style: { left: `${i * this.width}px`, width: `${this.width}px`, "--seq": colourOf(span.seq) },
      title: `${guessTitle(span, guess)}${replay.hasText ? `“${shown(replay.text(token))}” · ` : ""}position ${position} · block ${block}`,
      data: { seq: span.seq, at: position } },
    h("span.nv-band", {}, offset ? "" : h("b", {}, `seq ${span.seq}`),
      h(`i.nv-${patternOf(span.seq)}${span.isDecode ? ".nv-light" : ""}`)),
    h("span.nv-cells3", {}, `${token}\n${position}\n${block * size + (position % size)}`));
  }

  drawPerSequence({ spans }) {
    const shownSpans = spans.slice(0, MOST_SEQUENCES);
    const cells = (values) => values.map(([value, seq]) => h("span.nv-cell", {
      style: seq === null ? {} : { "--seq": colourOf(seq) } }, String(value)));
    const more = spans.length > MOST_SEQUENCES ? h("span.nv-more", {}, `and ${spans.length - MOST_SEQUENCES} more`) : "";
    this.perSeq.replaceChildren(
      h("code", {}, "query_starts"), h("div.nv-cells", {},
        cells(this.starts.slice(0, MOST_SEQUENCES + 1).map((value, i) => [value, shownSpans[i]?.seq ?? null])), more),
      h("code", {}, "context_lens"), h("div.nv-cells", {},
        cells(shownSpans.map((span) => [span.end, span.seq])), more));
  }

  highlight() {
    for (const [name, link] of [["nv-hover", this.viewer.hovered], ["nv-selected", this.viewer.selection]]) {
      for (const el of this.inner.querySelectorAll(`.${name}`)) el.classList.remove(name);
      if (link?.position === null || link?.position === undefined) continue;
      this.inner.querySelector(`[data-seq="${link.seq}"][data-at="${link.position}"]`)?.classList.add(name);
    }
  }
}

function guessTitle({ accepted }, guess) {
  if (guess < 0) return "";
  return guess < accepted ? "a guess that came true · " : "a guess that was wrong · ";
}
