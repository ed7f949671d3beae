// Colours, patterns, and strokes on a canvas. One rule holds in the whole view: COLOUR is the
// sequence, TEXTURE is what happened to it.

import { h } from "./dom.js";

// Eight colours that differ for colour-blind eyes too (tests/widgets/test_palette.py measures it)
// and stand out in both themes; after eight sequences they come back with another pattern.
export const COLOURS = ["#2063a6", "#e58b1a", "#5acfb5", "#a61856", "#a2b6ec", "#7f5d1a", "#c4b974",
  "#7c29dc"];
export const HAS_DARK_INK = [false, true, true, false, true, false, true, false]; // text on the colour
const PATTERNS = ["solid", "diagonal", "dots", "horizontal"];

export const colourOf = (seq) => COLOURS[seq % COLOURS.length];
export const patternOf = (seq) => PATTERNS[Math.floor(seq / COLOURS.length) % PATTERNS.length];

export function swatch(seq = 0) {
  return paintSwatch(h("i.nv-swatch", { "aria-hidden": "true" }), seq);
}

export function paintSwatch(el, seq) {
  el.className = `nv-swatch nv-${patternOf(seq)}`;
  el.style.setProperty("--seq", colourOf(seq));
  return el;
}

// Fill of a canvas cell: the sequence's colour, with its pattern on top.
const patternCache = new Map();
export const forgetPatterns = () => patternCache.clear();

export function canvasFill(context, seq, alpha = 1) {
  const key = `${seq % 32}/${alpha}`;
  if (patternCache.has(key)) return patternCache.get(key);
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.globalAlpha = alpha;
  pen.fillStyle = colourOf(seq);
  pen.fillRect(0, 0, 8, 8);
  pen.globalAlpha = 0.45 * alpha;
  pen.strokeStyle = pen.fillStyle = "#fff";
  pen.lineWidth = 1.6;
  const pattern = patternOf(seq);
  pen.beginPath();
  if (pattern === "diagonal") for (const x of [-8, 0, 8]) { pen.moveTo(x, 8); pen.lineTo(x + 8, 0); }
  if (pattern === "horizontal") { pen.moveTo(0, 2); pen.lineTo(8, 2); pen.moveTo(0, 6); pen.lineTo(8, 6); }
  pen.stroke();
  if (pattern === "dots") for (const [x, y] of [[1, 1], [5, 5]]) pen.fillRect(x, y, 2, 2);
  const fill = pattern === "solid" && alpha === 1 ? colourOf(seq) : context.createPattern(tile, "repeat");
  patternCache.set(key, fill);
  return fill;
}

// A canvas that keeps its pixels sharp; `size` returns its context, scaled to CSS pixels.
export class Sheet {
  constructor(name) {
    this.canvas = h(`canvas.${name}`);
  }

  size(width, height) {
    const ratio = globalThis.devicePixelRatio || 1;
    const [w, t] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== t) {
      this.canvas.width = w;
      this.canvas.height = t;
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }
}

export function drawCross(pen, x, y, size, style) {
  pen.strokeStyle = style;
  pen.lineWidth = Math.max(1.3, size / 2.6);
  pen.beginPath();
  pen.moveTo(x - size, y - size);
  pen.lineTo(x + size, y + size);
  pen.moveTo(x + size, y - size);
  pen.lineTo(x - size, y + size);
  pen.stroke();
}

export function drawHatch(pen, x, y, width, height, style, gap = 4) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.strokeStyle = style;
  pen.lineWidth = 1.4;
  pen.beginPath();
  for (let i = -height; i < width; i += gap) {
    pen.moveTo(x + i, y + height);
    pen.lineTo(x + i + height, y);
  }
  pen.stroke();
  pen.restore();
}

export function drawMark(pen, name, x, y, size, theme) {
  pen.fillStyle = pen.strokeStyle = name === "preemption" ? theme.danger
    : name === "hit" ? theme.good : name === "eviction" ? theme.warn : theme.muted;
  pen.beginPath();
  if (name === "preemption") return drawCross(pen, x, y, size * 0.8, theme.danger);
  if (name === "hit") { pen.moveTo(x - size, y - size); pen.lineTo(x + size, y - size); pen.lineTo(x, y + size); }
  else if (name === "eviction") { pen.moveTo(x, y - size); pen.lineTo(x + size, y); pen.lineTo(x, y + size); pen.lineTo(x - size, y); }
  else if (name === "guess") pen.rect(x - size * 0.7, y - size * 0.7, size * 1.4, size * 1.4);
  else pen.arc(x, y, size * 0.8, 0, 7);
  pen.fill();
}

export function packed(ink, paper, alpha) {
  const [a, b] = [rgb(ink), rgb(paper)];
  const [r, g, bl] = a.map((value, i) => Math.round(value * alpha + b[i] * (1 - alpha)));
  return ((255 << 24) | (bl << 16) | (g << 8) | r) >>> 0;
}

export function rgb(text) {
  const hex = /^#(..)(..)(..)/.exec(text);
  if (hex) return hex.slice(1).map((part) => parseInt(part, 16));
  return (text.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
}

export function dashedFrame(pen, x, y, s, style) {
  pen.save();
  pen.strokeStyle = style;
  pen.lineWidth = 1.2;
  pen.setLineDash([3, 2]);
  pen.strokeRect(x + 0.75, y + 0.75, s - 1.5, s - 1.5);
  pen.restore();
}
