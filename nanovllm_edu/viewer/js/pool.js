// The panel of the physical blocks: pointing at them, choosing one, and saying in words what each is.
// Read next: pool_picture.js, which draws them.

import { h, legend, panel, placeTip, plural, setAttribute, setText } from "./dom.js";
import { Sheet } from "./ink.js";
import { PoolPicture } from "./pool_picture.js";

const MOST_LISTED = 256; // blocks in the table for screen readers

export class Pool {
  constructor(viewer) {
    this.viewer = viewer;
    this.picture = new PoolPicture(viewer);
    this.sheet = new Sheet("nv-sheet");
    this.cursor = new Sheet("nv-overlay");
    this.tip = h("div.nv-tip", { hidden: true });
    this.table = h("div.nv-hidden");
    this.frame = h("div.nv-canvas.nv-pool-frame", { tabIndex: 0, role: "application",
      "aria-roledescription": "block pool",
      onpointerdown: (e) => this.onPress(e), onpointermove: (e) => this.onMove(e),
      onpointerleave: () => this.leave(), onkeydown: (e) => this.onKey(e),
    }, this.sheet.canvas, this.cursor.canvas, this.tip);
    this.live = h("div.nv-hidden", { "aria-live": "polite" });
    this.orderButton = h("button.nv-toggle", { type: "button", "aria-pressed": "false",
      title: "Which cached block is evicted first: number 1, or the strongest colour",
      onclick: () => this.toggleOrder() }, "eviction order");
    const { el, note, tools } = panel("pool", "Block pool", this.frame,
      legend([["used", "used"], ["shared", "shared"], ["cachedblock", "free but cached"],
        ["free", "free"], ["written", "written now"]]), this.live, this.table);
    tools.append(this.orderButton);
    this.counts = ["used", "cached", "free"].map(() => h("b"));
    note.append(this.counts[0], " used · ", this.counts[1], " cached · ", this.counts[2],
      " free", h("span.nv-each", {}, ` · ${plural(viewer.replay.blockSize, "token")} each`));
    Object.assign(this, { el, note });
  }

  get g() {
    return this.picture.g;
  }

  place(block) {
    return this.picture.place(block);
  }

  measure() {
    this.picture.layout(Math.max(160, this.frame.clientWidth));
  }

  toggleOrder() {
    this.showsOrder = !this.showsOrder;
    setAttribute(this.orderButton, "aria-pressed", this.showsOrder);
    this.update(this.moment);
  }

  update(moment) {
    this.moment = moment;
    const { g } = this, { state } = moment;
    const order = this.showsOrder ? [...state.order] : [];
    this.ranks = new Map(order.map((block, i) => [block, i + 1]));
    this.written = writtenBlocks(moment, this.viewer.replay.blockSize);
    this.picture.draw(this.sheet.size(g.width, g.height), moment, this.written, this.ranks);
    const cached = state.order.size, used = state.numUsed;
    [used, cached, g.num - used - cached].forEach((num, i) => setText(this.counts[i], String(num)));
    this.highlight();
  }

  // For screen readers and tests; late, so that scrubbing does not pay for it.
  settle({ state, users }) {
    const { g } = this, cached = state.order.size, used = state.numUsed;
    setAttribute(this.frame, "aria-label", `Block pool: ${used} used, ${cached} cached and ` +
      `${g.num - used - cached} free of ${g.num} blocks. Arrow keys move between blocks, Enter selects.`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.list(state, users), 250);
  }

  list(state, users) {
    const rows = Array.from({ length: Math.min(this.g.num, MOST_LISTED) }, (_, block) =>
      [block, state.blockState(block), (users.get(block) ?? []).join(" "), state.ref[block],
        state.hashOf(block) ?? ""]);
    const header = ["block", "state", "sequences", "ref count", "hash"];
    this.table.replaceChildren(h("table.nv-rows", {}, h("caption", {}, "Block pool"),
      h("thead", {}, h("tr", {}, header.map((name) => h("th", {}, name)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((value) => h("td", {}, String(value))))))));
  }

  // Rings and underlines on top: the selected sequence's blocks, the selected and the hovered one.
  highlight() {
    const { g, viewer } = this, { theme, selection, hovered } = viewer;
    const table = this.moment.tableOf(selection.seq);
    const drawn = [table.join(), selection.block, hovered?.block, g.width, theme.accent].join("/");
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const pen = this.cursor.size(g.width, g.height);
    for (const block of table) this.picture.underline(pen, block);
    this.picture.ring(pen, selection.block, theme.accent, 2.5);
    this.picture.ring(pen, hovered?.block, theme.fg, 2);
  }

  describe(block) {
    const { replay } = this.viewer, { state, users } = this.moment;
    const kind = state.blockState(block), hash = state.hashOf(block), who = users.get(block) ?? [];
    const parts = [`block ${block}`, kind === "cached" ? "free but cached" : kind];
    if (who.length) parts.push(`by seq ${who.join(", ")}${who.length > 1 ? ` (shared, ref count ${state.ref[block]})` : ""}`);
    if (this.written.has(block)) parts.push("written in this step");
    if (hash !== null) parts.push(`hash ${hash.slice(0, 8)}…`);
    if (kind === "cached") parts.push(`number ${[...state.order].indexOf(block) + 1} to be evicted`);
    const tokens = replay.contentOf(state, block);
    const text = tokens.slice(0, 48).map((t) => replay.text(t)).join(replay.hasText ? "" : " ");
    return [parts.join(" · "), tokens.length > 48 ? `${text} …` : text];
  }

  // ---- pointing and choosing

  onMove(event) {
    const { x, y, block } = this.picture.find(event, this.frame.getBoundingClientRect());
    if (block === null) return this.leave();
    this.viewer.hover({ block });
    const [facts, text] = this.describe(block);
    this.tip.replaceChildren(facts, text ? h("div.nv-tip-text", {}, text) : "");
    placeTip(this.tip, this.frame, x, y);
  }

  leave() {
    this.tip.hidden = true;
    this.viewer.hover(null);
  }

  onPress(event) {
    const { block } = this.picture.find(event, this.frame.getBoundingClientRect());
    if (block !== null) this.choose(block);
  }

  // The sequence stays if it uses the block; else the block's first user is shown.
  choose(block) {
    const { viewer } = this, users = this.moment.users.get(block) ?? [];
    const stays = users.includes(viewer.selection.seq) || !users.length;
    viewer.select({ seq: stays ? viewer.selection.seq : users[0], block });
    this.live.textContent = this.describe(block).join(" · ");
  }

  onKey(event) {
    const { columns, num } = this.g, at = this.viewer.selection.block;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (event.key in moves) {
      const to = at === null ? 0 : at + moves[event.key];
      if (to >= 0 && to < num) this.choose(to);
    } else if (event.key === "Enter") this.choose(at ?? 0);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function writtenBlocks({ spans, tables }, blockSize) {
  const written = new Set();
  for (const { seq, start, end } of spans) {
    const table = tables.get(seq) ?? [];
    for (let i = Math.floor(start / blockSize); i * blockSize < end; i++) written.add(table[i]);
  }
  return written;
}
