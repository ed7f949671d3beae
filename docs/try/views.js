// The live engine in the viewer, and its fork beside it. Both are moved by one position.
//
// It takes what nanovllm_edu/live/feed.py tells: at first a document, then what is new.

import { h, mount } from "../live/viewer.js";

class Column {
  constructor(onMove, onSelect, onLevel) {
    this.title = h("p.try-branch");
    this.host = h("div", { data: { level: "why" } });
    this.el = h("div.try-column", {}, this.title, this.host);
    this.fork = {};
    this.options = { ownsPage: false, controls: false, address: {}, onSelect, onLevel, fork: () => this.fork,
      onStep: (step) => onMove(this.begin + step) };
  }

  take({ document, entries, pieces, begin, last, name, facts }, { since, differs }) {
    Object.assign(this, { begin, last });
    this.fork = since === null ? {} : { at: since - begin, differs: differs === null ? null : differs - begin };
    const compared = differs === null ? "the same so far" : `differs from step ${differs} on`;
    this.title.hidden = since === null;
    this.title.replaceChildren(h("b", {}, name), ` since the fork: ${facts}, ${compared}`);
    if (document) {
      this.viewer?.destroy();
      this.viewer = mount(this.host, document, { ...this.options, step: last - begin });
    } else {
      this.viewer.replay.append(entries, pieces);
      if (since !== null) this.viewer.redraw();
    }
  }

  close() {
    this.viewer.destroy();
    this.el.remove();
  }

  show(position) {
    this.viewer.goto(Math.max(-1, Math.min(position, this.last) - this.begin));
  }
}

export class Views {
  // onMove(): the position is another one
  constructor(host, onMove) {
    this.host = host;
    this.onMove = onMove;
    this.position = -1;
    this.last = -1;
    this.isMoving = false;
    this.columns = [];
  }

  column() {
    return new Column((position) => this.isMoving || this.goto(position), (seq) => this.isMoving || this.select(seq),
      (level) => this.columns.forEach(({ viewer }) => viewer.showLevel(level)));
  }

  take(update) {
    this.isMoving = true; // an engine that has got further moves nobody
    const { branches, last } = update;
    while (this.columns.length > branches.length) this.columns.pop().close();
    while (this.columns.length < branches.length) {
      this.columns.push(this.column());
      this.host.append(this.columns.at(-1).el);
    }
    this.host.classList.toggle("try-two", branches.length > 1);
    branches.forEach((branch, i) => this.columns[i].take(branch, update));
    this.last = last;
    this.isMoving = false;
  }

  goto(position) {
    this.position = Math.max(-1, Math.min(position, this.last));
    this.isMoving = true;
    for (const column of this.columns) column.show(this.position);
    this.isMoving = false;
    this.onMove();
  }

  // What is chosen in one view is chosen in the other, if it is there.
  select(seq) {
    this.isMoving = true;
    for (const { viewer } of this.columns) if (viewer.selection.seq !== seq) viewer.select({ seq });
    this.isMoving = false;
    this.onMove();
  }

  get selected() {
    return this.columns[0]?.viewer.selection.seq ?? null;
  }
}
