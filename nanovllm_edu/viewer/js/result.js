// What a step gave: the new tokens as text, one sequence after the other.

import { count, h, Rows, setText, shown } from "./dom.js";
import { paintSwatch, swatch } from "./ink.js";

export class Result {
  constructor(viewer) {
    this.viewer = viewer;
    this.title = h("b");
    const list = h("span.nv-result-list");
    this.rows = new Rows(list, () => this.row());
    this.el = h("div.nv-result", { role: "group", "aria-label": "What the step gave", tabIndex: 0 },
      this.title, list);
  }

  update({ k, entry, spans }) {
    const { notes } = this.viewer.replay;
    const results = spans.filter((span) => span.gave || notes.ended.get(span.seq)?.step === k).map((span) =>
      ({ ...span, ending: notes.ended.get(span.seq)?.step === k ? notes.ended.get(span.seq).reason : null }));
    setText(this.title, !entry ? "No step yet"
      : results.length ? `step ${entry.step} gave` : `step ${entry.step} gave no token`);
    this.rows.show(results);
  }

  row() {
    const { viewer } = this, mark = swatch(), name = h("b"), text = h("code"), end = h("span.nv-dim");
    const el = h("button.nv-gave", { type: "button",
      onclick: () => viewer.select({ seq: Number(el.dataset.seq) }) }, mark, name, text, end);
    const fill = ({ seq, gave, drafted, accepted, ending }) => {
      const { replay } = viewer;
      el.dataset.seq = seq;
      paintSwatch(mark, seq);
      setText(name, `seq ${count(seq)}`);
      const guesses = drafted.length ? ` ${accepted ?? 0} of ${drafted.length} guesses` : "";
      setText(text, (gave?.values ?? []).map((token) => shown(replay.text(token))).join(replay.hasText ? "" : " "));
      setText(end, `${guesses}${ending ? ` ends: ${ending}` : ""}`);
    };
    return { el, fill };
  }
}
