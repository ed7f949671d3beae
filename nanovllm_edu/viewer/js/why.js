// Every decision of the step with its reason, in the order they were taken.

import { h, panel, plural, Rows, setText } from "./dom.js";

export class Why {
  constructor(viewer) {
    this.viewer = viewer;
    this.empty = h("p.nv-empty", {}, "Each decision of a step is explained here.");
    const list = h("ol.nv-events", { tabIndex: 0, "aria-label": "Reasons" });
    const { el, note } = panel("why", "Why", this.empty, list);
    Object.assign(this, { el, note, rows: new Rows(list, () => this.row()) });
  }

  settle(moment) {
    const events = moment.entry ? this.viewer.replay.events(moment.k) : [];
    this.empty.hidden = Boolean(moment.entry);
    setText(this.note, moment.entry ? plural(events.length, "event") : "");
    this.rows.show(events);
  }

  row() {
    const { viewer } = this, label = h("span"), words = h("span");
    let event = null;
    const el = h("li.nv-event", { tabIndex: 0,
      onclick: () => viewer.select({ seq: event.seq_id, block: event.block_id ?? null }),
      onkeydown: (press) => press.key === "Enter" && el.click(),
      onmouseenter: () => event.block_id !== undefined && viewer.hover({ block: event.block_id }),
      onmouseleave: () => viewer.hover(null) }, label, words);
    const fill = (next) => {
      event = next;
      el.dataset.kind = event.kind;
      label.className = `nv-label nv-label-${event.label.replace(" ", "-")}`;
      setText(label, event.label);
      setText(words, event.why);
    };
    return { el, fill };
  }
}
