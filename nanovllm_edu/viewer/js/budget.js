// The tokens of this step against the most that a step may compute, by sequence.

import { h, panel, plural, Rows, setAttribute, setText } from "./dom.js";
import { canvasFill, paintSwatch, Sheet, swatch } from "./ink.js";

const HEIGHT = 18;

export class Budget {
  constructor(viewer) {
    this.viewer = viewer;
    this.sheet = new Sheet("nv-sheet");
    this.bar = h("div.nv-budget-bar", { role: "img",
      onpointermove: (event) => (this.bar.title = this.describe(this.find(event))),
      onclick: (event) => {
        const span = this.find(event);
        if (span) viewer.select({ seq: span.seq });
      } }, this.sheet.canvas);
    this.empty = h("p.nv-empty");
    const list = h("div.nv-rows");
    const { el, note } = panel("budget", "Token budget", this.bar, this.empty, list);
    Object.assign(this, { el, note, rows: new Rows(list, () => this.row()) });
  }

  measure() {
    this.width = Math.max(100, this.bar.clientWidth);
  }

  update({ spans, entry }) {
    const limit = this.viewer.replay.engine.max_num_batched_tokens;
    const total = spans.reduce((sum, span) => sum + span.num, 0);
    setText(this.note, entry ? `${total} of ${limit} tokens` : "");
    this.spans = spans;
    this.scale = this.width / Math.max(limit, total);
    this.draw();
    setText(this.empty, entry ? "This step computed nothing."
      : "No step yet: move right to see the first one.");
    this.empty.hidden = spans.length > 0;
    this.rows.show(spans);
  }

  settle() {
    setAttribute(this.bar, "aria-label", `${this.note.textContent}: ${this.spans.slice(0, 30)
      .map((span) => `seq ${span.seq} ${span.num}`).join(", ")}`);
  }

  draw() {
    const pen = this.sheet.size(this.width, HEIGHT), { theme } = this.viewer;
    let x = 0;
    for (const { seq, num, isDecode } of this.spans) {
      const width = num * this.scale, gap = width > 4 ? 1 : width > 2 ? 0.5 : 0;
      pen.fillStyle = canvasFill(pen, seq, isDecode ? 0.5 : 1);
      pen.fillRect(x, 0, width - gap, HEIGHT);
      x += width;
    }
    if (this.scale > 4) return;
    pen.fillStyle = theme.fg; // where it ends must be seen even if it is a sliver
    pen.fillRect(Math.max(0, x - 0.5), 0, x ? 1 : 0, HEIGHT);
  }

  find(event) {
    let left = (event.clientX - this.bar.getBoundingClientRect().left) / this.scale;
    return this.spans.find((span) => (left -= span.num) < 0);
  }

  describe(span) {
    return span ? `seq ${span.seq}: ${plural(span.num, "token")}` : "not used";
  }

  row() {
    const { viewer } = this, mark = swatch();
    const [name, kind, range] = ["b", "span.nv-kind", "span.nv-num"].map((tag) => h(tag));
    const el = h("button.nv-row", { type: "button",
      onclick: () => viewer.select({ seq: Number(el.dataset.seq) }) }, mark, name, kind, range);
    const fill = (span) => {
      if (el.dataset.seq !== String(span.seq)) {
        el.dataset.seq = span.seq;
        paintSwatch(mark, span.seq);
        setText(name, `seq ${span.seq}`);
      }
      setText(kind, `${span.num} ${span.kind === "cached" ? "prefill" : span.kind}${more(span)}`);
      setText(range, `[${span.start}, ${span.end})`);
      setAttribute(el, "aria-pressed", viewer.selection.seq === span.seq);
    };
    return { el, fill };
  }
}

// What else there is to say of a span: what it was spared, what it guessed, or that it is not the last.
function more({ hit, drafted, accepted, isSampled }) {
  if (hit) return `, ${hit} cached`;
  if (drafted.length) return `, ${accepted ?? "none"} of ${drafted.length} guesses accepted`;
  return isSampled ? "" : ", samples later";
}
