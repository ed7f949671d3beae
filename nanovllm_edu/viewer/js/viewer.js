// Puts the panels together, and holds what they share: the step, what is selected, what is hovered,
// the theme. A panel has `update(moment)` for what must follow every frame of scrubbing, and may
// have `settle(moment)` for the rest and `measure()` for what depends on its width.

import { Budget } from "./budget.js";
import { clamp, h } from "./dom.js";
import { BlockPanel } from "./blocks.js";
import { forgetPatterns } from "./ink.js";
import { firstLevel, LevelSwitch, watchLevel } from "./levels.js";
import { Phases } from "./phases.js";
import { Pool } from "./pool.js";
import { Queues } from "./queues.js";
import { Result } from "./result.js";
import { SequencePanel } from "./sequence.js";
import { Tensors } from "./tensors.js";
import { readTheme, watchTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { labelOfBreakpoint, Transport } from "./transport.js";
import { Why } from "./why.js";

export class Viewer {
  // options: controls, ownsPage, level, address (what ?step=13&seq=5&level=why says), step, seq,
  // fork() → { at, differs }, onStep(k), onSelect(seq), onLevel(name)
  constructor(host, replay, options = {}) {
    this.host = host;
    this.replay = replay;
    this.options = options;
    const { address = {} } = options;
    this.step = clamp(replay.placeOf(address.step) ?? options.step ?? 0, -1, replay.numSteps - 1);
    const seq = replay.requests.has(address.seq) ? address.seq : options.seq ?? null;
    this.chosen = this.selection = { seq, position: null, block: null };
    this.hovered = null;
    this.root = h("div.nv", { tabIndex: 0, role: "region", "aria-label": "Steps of the engine",
      onkeydown: (event) => this.onKey(event) });
    this.root.viewer = this;
    this.build();
    this.setLevel(firstLevel(address.level, options.level));
    host.replaceChildren(this.root);
    this.unwatchTheme = watchTheme(() => this.redraw());
    this.unwatchLevel = watchLevel((level) => this.showLevel(level));
    this.watchSize();
    this.onAppend = () => this.redraw();
    replay.listeners.add(this.onAppend);
    this.onPageKey = (event) => event.target === document.body && this.onKey(event);
    if (options.ownsPage) document.addEventListener("keydown", this.onPageKey);
    this.redraw();
  }

  build() {
    this.transport = new Transport(this);
    this.timeline = new Timeline(this);
    this.pool = new Pool(this);
    this.sequence = new SequencePanel(this);
    this.tensors = new Tensors(this);
    this.blocks = new BlockPanel(this);
    const queues = new Queues(this), budget = new Budget(this), why = new Why(this);
    const phases = new Phases(this), result = new Result(this);
    this.panels = [this.transport, result, this.sequence, this.timeline, queues, budget, why, this.pool,
      this.blocks, this.tensors, phases];
    const engine = this.replay.engine;
    const facts = h("p.nv-about.nv-from-why", {}, [
      engine.runner, `${engine.num_blocks} blocks of ${engine.block_size} tokens`, engine.policy,
      `${engine.eviction_policy} eviction`,
      engine.enable_prefix_caching ? "prefix caching" : "no prefix caching",
      `at most ${engine.max_num_seqs} sequences and ${engine.max_num_batched_tokens} tokens a step`,
    ].map((part) => h("span", {}, part)));
    this.levels = new LevelSwitch((level) => {
      this.showLevel(level);
      this.options.onLevel?.(level);
    });
    this.root.append(this.levels.el);
    if (this.options.controls !== false) this.root.append(this.transport.el);
    const everything = [this.blocks.el, this.tensors.el, phases.el];
    for (const el of everything) el.classList.add("nv-from-everything");
    this.root.append(result.el, this.sequence.el, this.timeline.el,
      h("div.nv-grid.nv-top.nv-from-why", {}, queues.el, budget.el, why.el),
      h("div.nv-grid.nv-middle", {}, this.pool.el, this.blocks.el), this.tensors.el, phases.el, facts);
  }

  showLevel(level) {
    if (level === this.root.dataset.level) return;
    this.setLevel(level);
    this.redraw();
  }

  setLevel(level) {
    this.root.dataset.level = level;
    this.levels.show(level);
  }

  // ---- moving

  goto(k) {
    const to = clamp(k, -1, this.replay.numSteps - 1);
    if (to === this.step) return;
    this.step = to;
    this.update();
    this.options.onStep?.(to);
  }

  // While a slider is dragged, only the newest position of each frame is drawn.
  gotoSoon(k) {
    if (this.soon === undefined) requestAnimationFrame(() => {
      const to = this.soon;
      this.soon = undefined;
      this.goto(to);
    });
    this.soon = k;
  }

  runTo(name) {
    const { bits, marks } = this.replay.notes, bit = bits[name];
    for (let k = this.step + 1; k < marks.length; k++) if (marks[k] & bit) return this.goto(k);
    this.transport.say(`no further ${labelOfBreakpoint(name)} in this recording`);
  }

  togglePlay() {
    if (this.timer) return this.stop();
    if (this.step >= this.replay.numSteps - 1) this.goto(-1);
    this.transport.setPlaying(true);
    this.timer = setInterval(() => {
      this.goto(this.step + 1);
      if (this.step >= this.replay.numSteps - 1 || !this.root.isConnected) this.stop();
    }, this.options.interval ?? 450);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.transport.setPlaying(false);
  }

  select({ seq = this.selection.seq, position = null, block = null }) {
    this.chosen = { seq, position, block };
    this.update();
  }

  hover(link) {
    if (link === this.hovered || (link?.block === this.hovered?.block && link?.position === this.hovered?.position
      && link?.seq === this.hovered?.seq)) return;
    this.hovered = link;
    for (const panel of [this.pool, this.sequence, this.blocks, this.tensors]) panel.highlight();
  }

  // What carries `data-pos` or `data-block` can be pointed at and chosen. `positionAt` may know better.
  linkTokens(part, positionAt = () => null) {
    const linkOf = (event) => {
      const { pos, block } = event.target.closest?.("[data-pos],[data-block]")?.dataset ?? {};
      const position = positionAt(event) ?? pos;
      if (position !== undefined) return this.linkOfPosition(this.selection.seq, Number(position));
      return block === undefined ? null : { block: Number(block) };
    };
    part.addEventListener("pointermove", (event) => this.hover(linkOf(event)));
    part.addEventListener("pointerleave", () => this.hover(null));
    part.addEventListener("click", (event) => {
      const link = linkOf(event);
      if (link) this.select({ seq: this.selection.seq, ...link });
    });
  }

  linkOfPosition(seq, position) {
    const table = this.now.tables.get(seq) ?? this.now.tableOf(seq);
    const block = table[Math.floor(position / this.replay.blockSize)];
    return { seq, position, block: block ?? null };
  }

  isKnown(id, { state, k }) {
    const end = this.replay.notes.ended.get(id);
    return state.seqs.has(id) || (end !== undefined && end.step <= k);
  }

  // ---- drawing

  redraw() {
    if (!this.host.isConnected && this.now) return;
    this.theme = readTheme(this.root, this.forcedTheme, this.options.ownsPage);
    forgetPatterns();
    for (const panel of this.panels) panel.measure?.();
    this.timeline.draw();
    this.update();
  }

  // A panel's `update` draws what must follow every frame of scrubbing, its `settle` the rest. In
  // a large recording the rest waits until the hand rests.
  update() {
    this.now = this.momentOf(this.step);
    const isLarge = this.now.spans.length > 48 || this.replay.numBlocks > 1024;
    const isHurried = isLarge && performance.now() - this.lastUpdate < 400;
    this.lastUpdate = performance.now();
    for (const panel of this.panels) panel.update?.(this.now);
    clearTimeout(this.settling);
    if (isHurried) this.settling = setTimeout(() => this.settle(), 120);
    else this.settle();
  }

  settle() {
    for (const panel of this.panels) panel.settle?.(this.now);
  }

  momentOf(k) {
    const { replay } = this, moment = replay.moment(k), { state } = moment;
    const users = new Map();
    for (const id of state.running) {
      for (const block of state.seqs.get(id).table) {
        if (users.has(block)) users.get(block).push(id);
        else users.set(block, [id]);
      }
    }
    const fresh = new Map(moment.spans.filter(({ gave }) => gave).map(({ seq, gave: { position, values } }) =>
      [seq, [position, position + values.length]]));
    const tableOf = (id) => state.seqs.get(id)?.table ?? moment.tables.get(id) ?? [];
    const sequence = (id) => state.seqs.get(id) ?? this.finishedSequence(id);
    this.findSelection(moment);
    return { ...moment, users, fresh, tableOf, sequence, isGone: !state.seqs.has(this.selection.seq) };
  }

  // What was chosen, or somebody else at a step where that sequence is not there yet. Whoever is
  // shown stays so when it ends: its text is what the reader waits for.
  findSelection(moment) {
    const { running, waiting } = moment.state, before = this.selection.seq;
    const stand = running[0] ?? waiting[0] ?? this.lastEnded(moment.k);
    if (this.isKnown(this.chosen.seq, moment)) this.selection = this.chosen;
    else if (!this.isKnown(before, moment)) this.selection = { seq: stand, position: null, block: null };
    if (this.selection.seq !== before) this.options.onSelect?.(this.selection.seq);
  }

  lastEnded(k) {
    const ended = [...this.replay.notes.ended].filter(([, { step }]) => step <= k);
    return ended.sort((a, b) => b[1].step - a[1].step)[0]?.[0] ?? null;
  }

  // A finished sequence has left the state, and its blocks may be another's by now.
  finishedSequence(id) {
    const seq = this.replay.lastSeen.get(id);
    return { ...seq, computed: Math.min(seq.computed, seq.known), row: null, table: [] };
  }

  onKey(event) {
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName)) return;
    const actions = {
      ArrowLeft: () => this.goto(this.step - 1), ArrowRight: () => this.goto(this.step + 1),
      Home: () => this.goto(-1), End: () => this.goto(Infinity), " ": () => this.togglePlay(),
    };
    const isButton = event.target.tagName === "BUTTON" && [" ", "Enter"].includes(event.key);
    if (!(event.key in actions) || isButton || event.ctrlKey || event.metaKey || event.altKey) return;
    actions[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- theme and size

  toggleTheme() {
    this.forcedTheme = this.theme.isDark ? "light" : "dark";
    this.redraw();
  }

  watchSize() {
    let width = 0;
    this.sizeWatch = new ResizeObserver(() => {
      if (this.root.clientWidth === width || !this.root.clientWidth) return;
      width = this.root.clientWidth;
      requestAnimationFrame(() => this.redraw());
    });
    this.sizeWatch.observe(this.root);
  }

  destroy() {
    this.stop();
    this.replay.listeners.delete(this.onAppend);
    document.removeEventListener("keydown", this.onPageKey);
    this.unwatchTheme();
    this.unwatchLevel();
    this.sizeWatch.disconnect();
  }
}
