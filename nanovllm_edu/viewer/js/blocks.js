// Where the tokens of the selected sequence lie: the chain by which its blocks are found, and
// token → logical block → physical block → slot. Small blocks show every slot, large ones a strip.

import { clamp, h, panel, plural, setText, shown } from "./dom.js";
import { colourOf } from "./ink.js";

const MOST_CELLS = 32; // slots of a block that are drawn one by one
const CELLS_IN_ALL = 144;
const LINKS = 12; // of the hash chain
const KEPT_CARDS = 400;

export class BlockPanel {
  constructor(viewer) {
    this.viewer = viewer;
    this.chain = h("div.nv-chain");
    this.cards = h("div.nv-cards");
    this.empty = h("p.nv-empty", {}, "No sequence is selected.");
    const { el, note } = panel("blocks", "Its blocks", this.empty, this.chain, this.cards);
    Object.assign(this, { el, note });
    viewer.linkTokens(this.cards, (event) => this.positionAt(event));
    this.kept = new Map(); // a card that would look the same is used again
  }

  settle(moment) {
    const { seq } = this.viewer.sequence;
    this.empty.hidden = Boolean(seq);
    this.chain.hidden = this.cards.hidden = !seq;
    setText(this.note, seq ? `of seq ${seq.id}: logical → physical` : "");
    if (!seq) return;
    this.moment = moment;
    this.size = this.viewer.replay.blockSize;
    this.el.style.setProperty("--seq", colourOf(seq.id));
    this.showChain(seq);
    this.showCards(seq);
    this.highlight();
  }

  // ---- the hash chain, and where a match stopped

  showChain(seq) {
    const { match } = seq, { state } = this.moment;
    this.chain.hidden = !match;
    if (!match) return;
    const table = this.moment.isGone ? [] : this.moment.tableOf(seq.id);
    const first = clamp(match.stoppedAt - LINKS + 3, 0, Math.max(0, table.length - LINKS));
    const links = table.slice(first, first + LINKS).map((block, i) =>
      this.link(first + i, state, block, first + i < match.stoppedAt));
    const stop = h("span.nv-stop", { title: match.why }, "match stopped here");
    if (links.length) links.splice(clamp(match.stoppedAt - first, 0, links.length), 0, stop);
    this.chain.replaceChildren(h("ol.nv-links", { "aria-label": "chain of cached blocks" },
      first ? h("li.nv-more", {}, `${first} before`) : null,
      links.map((link) => h("li", {}, link)),
      first + LINKS < table.length ? h("li.nv-more", {}, `${table.length - first - LINKS} more`) : null),
    h("p.nv-reason", {}, h("b", {}, match.stoppedAt
      ? `${plural(match.stoppedAt, "block")} found in the cache` : "no block found in the cache"),
    `; the match stopped at block ${match.stoppedAt}: ${match.why}`));
  }

  link(logical, state, block, isHit) {
    const hash = state.hashOf(block), { size } = this, tokens = `tokens [${logical * size}, ${(logical + 1) * size})`;
    if (hash === null) {
      const isCached = state.content[block] !== null;
      return h(`code.nv-link.nv-nohash${isHit ? ".nv-found" : ""}`, { data: { block }, title: isCached
        ? `block ${logical}: found by its tokens, ${tokens}` : `block ${logical}: not full yet, so it cannot be found` },
      isCached ? `#${block}` : "not cached");
    }
    const parent = logical ? `the hash of block ${logical - 1}` : "nothing";
    return h(`code.nv-link${isHit ? ".nv-found" : ""}`, { data: { block },
      title: `block ${logical}: hash of (${parent}, ${tokens}) = ${hash}${isHit ? ", found in the cache" : ""}` },
    hash.slice(0, 6));
  }

  // ---- the cards

  showCards(seq) {
    const { viewer, size, moment } = this, { selection } = viewer;
    const table = moment.tableOf(seq.id), most = clamp(Math.floor(CELLS_IN_ALL / size), 6, 24);
    const focus = selection.block === null ? -1 : table.indexOf(selection.block);
    const end = focus < 0 ? table.length : Math.floor(focus + most / 2);
    const first = clamp(end - most, 0, Math.max(0, table.length - most));
    const cards = table.slice(first, first + most).map((block, i) => this.cardOf(seq, block, first + i));
    if (first) cards.unshift(h("span.nv-more", {}, `${plural(first, "block")} before`));
    const rest = table.length - first - most;
    if (rest > 0) cards.push(h("span.nv-more", {}, `${plural(rest, "block")} after`));
    if (!table.length) cards.push(h("p.nv-empty", {}, moment.isGone ? "Its blocks were given back."
      : "It holds no blocks now."));
    const { children } = this.cards;
    if (cards.length !== children.length || cards.some((card, i) => card !== children[i])) {
      this.cards.replaceChildren(...cards);
    }
  }

  cardOf(seq, block, logical) {
    const { size, moment, kept } = this, last = Math.min(seq.computed, (logical + 1) * size);
    const numUsers = (moment.users.get(block) ?? []).length;
    const key = [seq.id, block, logical, last, Math.min(seq.known, (logical + 1) * size), seq.hit,
      Math.min(seq.prefillEnd, last), moment.state.content[block]?.join(), numUsers,
      seq.match?.stoppedAt > logical, moment.isGone].join();
    if (kept.size > KEPT_CARDS) kept.clear();
    if (!kept.has(key)) kept.set(key, this.card(seq, block, logical, numUsers));
    return kept.get(key);
  }

  card(seq, block, logical, numUsers) {
    const { size, moment } = this, hash = moment.state.hashOf(block);
    const isHit = seq.match && logical < seq.match.stoppedAt;
    return h(`div.nv-card${isHit ? ".nv-hit" : ""}${size > MOST_CELLS ? ".nv-wide" : ""}`, {
      data: { block }, role: "group", "aria-label": `logical block ${logical} is physical block ${block}` },
    h("div.nv-card-head", {}, h("span", { title: "logical block" }, `${logical}`), h("i.nv-arrow", {}, "→"),
      h("b", {}, `block ${block}`), numUsers > 1 ? h("span.nv-badge", { title: "reference count" }, `×${numUsers}`) : "",
      h("code", { title: hash ?? "" }, hash === null ? moment.isGone ? "given back" : "" : hash.slice(0, 6))),
    size > MOST_CELLS ? this.strip(seq, logical) : this.cells(seq, block, logical),
    h("div.nv-card-foot", {}, this.foot(seq, block, logical)));
  }

  foot(seq, block, logical) {
    const { size } = this, slots = `slots ${block * size}–${block * size + size - 1}`;
    if (size <= MOST_CELLS) return slots;
    const num = clamp(seq.computed - logical * size, 0, size);
    return `${slots} · ${num === size ? "full" : `${num} of ${size} filled`}`;
  }

  cells(seq, block, logical) {
    const { replay } = this.viewer, { size } = this, tokens = replay.tokens.get(seq.id);
    return h("div.nv-slots", {}, Array.from({ length: size }, (_, offset) => {
      const position = logical * size + offset, isFilled = position < seq.computed;
      return h(`span.nv-slot${isFilled ? `.nv-t-${kindOf(seq, position)}` : ""}`, {
        data: position < seq.known ? { pos: position } : {},
        title: `position ${position}${isFilled && replay.hasText ? ` “${shown(replay.text(tokens[position]))}”` : ""} · slot ${block * size + offset} = ${block} × ${size} + ${offset}` },
      isFilled ? shown(replay.text(tokens[position])).trim() || "␣" : "");
    }));
  }

  // Runs of slots that came the same way.
  strip(seq, logical) {
    const { size } = this, first = logical * size, runs = [];
    for (let offset = 0; offset < size; offset++) {
      const kind = first + offset < seq.computed ? kindOf(seq, first + offset) : "blank";
      if (runs.at(-1)?.kind === kind) runs.at(-1).num += 1;
      else runs.push({ kind, num: 1 });
    }
    return h("div.nv-strip", { data: { first } }, runs.map(({ kind, num }) =>
      h(`i.nv-t-${kind}`, { style: { "flex-grow": String(num) }, title: `${num} slots: ${kind}` })),
    h("u.nv-here", { hidden: true }));
  }

  // The position under the pointer, if it is over a strip.
  positionAt(event) {
    const strip = event.target.closest?.(".nv-strip");
    if (!strip) return undefined;
    const { left, width } = strip.getBoundingClientRect();
    const offset = clamp(Math.floor(((event.clientX - left) / width) * this.size), 0, this.size - 1);
    return Number(strip.dataset.first) + offset;
  }

  // A token that is chosen elsewhere is a line on the strip.
  highlight() {
    const { hovered, selection } = this.viewer, position = hovered?.position ?? selection.position;
    markLink(this.el, "nv-hover", hovered);
    markLink(this.el, "nv-selected", selection);
    for (const strip of this.el.querySelectorAll(".nv-strip")) {
      const offset = position - Number(strip.dataset.first), here = strip.lastChild;
      here.hidden = position === null || position === undefined || offset < 0 || offset >= this.size;
      here.style.left = `${(100 * (offset + 0.5)) / this.size}%`;
    }
  }
}

// How a token of a sequence came into the cache.
export function kindOf(seq, position) {
  if (position >= seq.computed) return "pending";
  return position < seq.hit ? "cached" : position < seq.prefillEnd ? "prefill" : "decode";
}

// Marks all that stands for a position or a block.
export function markLink(root, name, link) {
  for (const el of root.querySelectorAll(`.${name}`)) el.classList.remove(name);
  const { position, block } = link ?? {};
  const is = (value) => value !== null && value !== undefined;
  if (is(position)) for (const el of root.querySelectorAll(`[data-pos="${position}"]`)) el.classList.add(name);
  if (is(block)) for (const el of root.querySelectorAll(`[data-block="${block}"]`)) el.classList.add(name);
}
