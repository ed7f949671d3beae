// Every decision of the step with its reason, in the order they were taken.

import { h, panel, plural, Rows, setText, shown } from "./dom.js";
import { EVENT_LABELS } from "./sentences.js";

const MANY_TOKENS = 8; // more sampled tokens than this are summed up in one line

export class Why {
  constructor(viewer) {
    this.viewer = viewer;
    this.empty = h("p.nv-empty", {}, "Each decision of a step is explained here.");
    const list = h("ol.nv-events", { tabIndex: 0, "aria-label": "Reasons" });
    const { el, note } = panel("why", "Why", this.empty, list);
    Object.assign(this, { el, note, rows: new Rows(list, () => this.row()) });
  }

  settle(moment) {
    const events = moment.entry ? this.viewer.replay.events(moment.k, moment) : [];
    this.empty.hidden = Boolean(moment.entry);
    setText(this.note, moment.entry ? plural(events.length, "event") : "");
    const tokens = events.filter((event) => event.kind === "TokenSampled");
    if (tokens.length <= MANY_TOKENS) return this.rows.show(events);
    const others = events.filter((event) => event.kind !== "TokenSampled");
    const why = `${tokens.length} sequences got a token each`;
    return this.rows.show([...others, { kind: "TokenSampled", why }]);
  }

  row() {
    const { viewer } = this, label = h("span"), words = h("span");
    let event = null;
    const el = h("li.nv-event", { tabIndex: 0,
      onclick: () => event.seq_id !== undefined &&
        viewer.select({ seq: event.seq_id, block: event.block_id ?? null }),
      onkeydown: (press) => press.key === "Enter" && el.click(),
      onmouseenter: () => event.block_id !== undefined && viewer.hover({ block: event.block_id }),
      onmouseleave: () => viewer.hover(null) }, label, words);
    const fill = (next) => {
      event = next;
      el.dataset.kind = event.kind;
      const name = EVENT_LABELS[event.kind];
      label.className = `nv-label nv-label-${name}`;
      setText(label, name);
      words.replaceChildren(...this.words(event));
    };
    return { el, fill };
  }

  // The token's text belongs to the sentence, but only the viewer knows it.
  words(event) {
    const { replay } = this.viewer;
    if (event.token_id === undefined || !replay.hasText) return [event.why];
    return [event.why, " ", h("code", {}, shown(replay.text(event.token_id)))];
  }
}
