// Making elements, and lists of them that are made once and then only change their words.
// It knows nothing of recordings.

const ROWS_AT_ONCE = 12; // of a list, drawn with the step; the others follow when it is calm
const MAX_ROWS = 200; // longest list that is put into the page; the rest is summed up

// h("div.name", { title: "x", onclick: f, data: { pos: 3 } }, child, "text", [children])
export function h(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const el = document.createElement(tag || "div");
  if (classes.length) el.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(el.dataset, value);
    else if (key === "style") for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
    else if (key in el && !key.includes("-")) el[key] = value;
    else el.setAttribute(key, value);
  }
  el.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return el;
}

const ICONS = {
  first: "M3 3h2v10H3zM13 3v10L6 8z", back: "M12 3v10L4 8z", next: "M4 3v10l8-5z",
  last: "M11 3h2v10h-2zM3 3v10l7-5z", play: "M4 2.5v11l9-5.5z", pause: "M4 3h3v10H4zM9 3h3v10H9z",
  theme: "M8 2a6 6 0 1 0 0 12zM8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1z",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// A part of the view: a title, a note beside it, tools at the right, and what it holds.
export function panel(name, title, ...children) {
  const note = h("span.nv-note"), tools = h("span.nv-tools");
  const head = h("header", {}, h("h3", {}, title), note, tools);
  const el = h(`section.nv-panel.nv-${name}`, { "aria-label": title }, head, children);
  return { el, note, tools };
}

export function legend(entries) {
  return h("span.nv-legend", { "aria-hidden": "true" }, entries.map(([key, label]) =>
    h("span", {}, h(`i.nv-key.nv-key-${key}`), label)));
}

// Touching an element costs layout even if nothing changes, so only differences are written.
export function setText(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

export function setAttribute(el, name, value) {
  if (el.getAttribute(name) !== String(value)) el.setAttribute(name, value);
}

// A list whose elements are used again. `make` returns { el, fill(item) }. What is in sight is
// filled at once, the rest once nobody scrubs any more.
export class Rows {
  constructor(list, make) {
    this.list = list;
    this.make = make;
    this.rows = [];
    this.numShown = 0;
    this.more = h("span.nv-more");
  }

  show(items) {
    this.fill(items, Math.min(items.length, ROWS_AT_ONCE));
    clearTimeout(this.timer);
    if (items.length > ROWS_AT_ONCE) {
      this.timer = setTimeout(() => this.fill(items, Math.min(items.length, MAX_ROWS)), 200);
    }
  }

  fill(items, num) {
    for (let i = 0; i < num; i++) {
      if (i === this.rows.length) this.rows.push(this.make());
      this.rows[i].fill(items[i]);
      if (i >= this.numShown) this.list.append(this.rows[i].el);
    }
    for (let i = num; i < this.numShown; i++) this.rows[i].el.remove();
    this.numShown = num;
    this.more.remove();
    if (items.length <= MAX_ROWS || num < MAX_ROWS) return;
    this.more.textContent = `and ${count(items.length - MAX_ROWS)} more`;
    this.list.append(this.more);
  }
}

export function placeTip(tip, frame, x, y) {
  tip.hidden = false;
  const left = Math.min(x + 12, frame.clientWidth - tip.offsetWidth - 2);
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${y + 14}px`;
}

// ---- words

const numbers = new Intl.NumberFormat("en");

export const count = (number) => (number < 1000 ? String(number) : numbers.format(number));
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// Tokens may be blank: what cannot be seen gets a sign.
export const shown = (text) => text.replace(/\n/g, "↵\n").replace(/\t/g, "⇥");

export function formatSeconds(micros) {
  if (micros >= 1e6) return `${(micros / 1e6).toFixed(2)} s`;
  if (micros >= 1e3) return `${(micros / 1e3).toFixed(micros >= 1e4 ? 1 : 2)} ms`;
  return `${micros.toFixed(0)} µs`;
}
