// One sentence about the step, then every decision with its reason, in the order they were taken. What
// happens to single blocks is folded until somebody wants it, or everything is shown.

import { h, panel, plural, Rows, setAttribute, setText } from "./dom.js";
import { explained } from "./glossary.js";
import { headline } from "./headline.js";

export class Why {
  constructor(viewer) {
    this.viewer = viewer;
    this.empty = h("p.nv-empty", {}, "Each decision of a step is explained here.");
    const list = h("ol.nv-events", { tabIndex: 0, "aria-label": "Reasons" });
    this.headline = h("p.nv-headline");
    this.fold = h("button.nv-toggle", { type: "button", "aria-pressed": "false",
      title: "What happened to single blocks",
      onclick: () => this.toggle() }, "blocks too");
    const { el, note, tools } = panel("why", "Why", this.empty, this.headline, list);
    tools.append(this.fold);
    Object.assign(this, { el, note, rows: new Rows(list, () => this.row()) });
  }

  toggle() {
    this.showsBlocks = !this.showsBlocks;
    setAttribute(this.fold, "aria-pressed", this.showsBlocks);
    this.settle(this.viewer.now);
  }

  settle(moment) {
    const events = moment.entry ? this.viewer.replay.events(moment.k) : [];
    this.empty.hidden = Boolean(moment.entry);
    setText(this.note, moment.entry ? plural(events.length, "event") : "");
    setText(this.headline, headline(moment, this.viewer.replay.notes));
    const showsAll = this.showsBlocks || this.viewer.root.dataset.level === "everything";
    this.fold.hidden = this.viewer.root.dataset.level === "everything";
    this.rows.show(showsAll ? events : events.filter((event) => !isDetail(event)));
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
      words.replaceChildren(...explained(event.why));
    };
    return { el, fill };
  }
}

// Book-keeping of one block; that one loses its content is more than that.
const isDetail = ({ kind }) => kind.startsWith("Block") && kind !== "BlockEvicted";
