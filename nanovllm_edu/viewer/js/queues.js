// Who waits, who runs, who is done, and why the head of the queue waits.

import { count, h, panel, plural, Rows, setAttribute, setText } from "./dom.js";
import { paintSwatch, swatch } from "./ink.js";

export class Queues {
  constructor(viewer) {
    this.viewer = viewer;
    const queues = [["waiting", "Nobody waits."], ["running", "Nobody runs."],
      ["finished", "Nobody has finished."]].map(([name, empty]) => new Queue(viewer, name, empty));
    [this.waiting, this.running, this.finished] = queues;
    this.reason = h("p.nv-reason", {}, (this.who = h("b")), (this.because = h("span")));
    this.waiting.el.append(this.reason);
    this.el = panel("queues", "Queues", queues.map((queue) => queue.el)).el;
  }

  update({ k, state, entry }) {
    this.waiting.show(state.waiting, (id) => {
      const seq = state.seqs.get(id);
      return `${plural(seq.known, "token")}${seq.known > seq.prompt ? ", was running" : ""}`;
    });
    const blocked = state.waiting.length ? entry?.blocked : null;
    setText(this.who, blocked ? `seq ${blocked[0]} waits: ` : "");
    setText(this.because, blocked ? blocked[1] : "");
    this.reason.hidden = !blocked;
    this.running.show(state.running, (id) => {
      const seq = state.seqs.get(id);
      return `${count(seq.computed)} of ${count(seq.known)} · ${plural(seq.table.length, "block")}`;
    });
    const { ended } = this.viewer.replay.notes;
    const gone = [...ended].filter(([, end]) => end.step <= k).sort((a, b) => b[1].step - a[1].step);
    this.finished.show(gone.map(([id]) => id), (id) => ended.get(id).reason);
  }
}

class Queue {
  constructor(viewer, name, empty) {
    this.viewer = viewer;
    this.count = h("span");
    this.empty = h("p.nv-empty", {}, empty);
    const list = h("div.nv-chips", { role: "group", "aria-label": name });
    this.rows = new Rows(list, () => this.chip());
    this.el = h(`div.nv-queue.nv-queue-${name}`, {}, h("h4", {}, `${name} `, this.count), this.empty, list);
  }

  show(ids, describe) {
    setText(this.count, String(ids.length));
    this.empty.hidden = ids.length > 0;
    this.describe = describe;
    this.rows.show(ids);
  }

  chip() {
    const { viewer } = this, mark = swatch(), name = h("b"), facts = h("span");
    const el = h("button.nv-chip", { type: "button",
      onclick: () => viewer.select({ seq: Number(el.dataset.seq) }) }, mark, name, facts);
    const fill = (id) => {
      if (el.dataset.seq !== String(id)) {
        el.dataset.seq = id;
        paintSwatch(mark, id);
        setText(name, `seq ${id}`);
      }
      setText(facts, this.describe(id));
      setAttribute(el, "aria-pressed", viewer.selection.seq === id);
    };
    return { el, fill };
  }
}
