// Sequences × steps; above it the marks of the breakpoints, below it the memory lane. The picture is
// drawn when the recording grows; moving through it only moves two elements on top.

import { h, legend, panel, placeTip, plural, setAttribute } from "./dom.js";
import { canvasFill, colourOf, drawCross, drawHatch, drawMark, packed, Sheet } from "./ink.js";
import { KIND, KIND_NAMES } from "./notes.js";

const GUTTER = 56, TOP = 14, LANE = 30; // CSS pixels: names at the left, marks above, memory below
const MOST_ROWS_HEIGHT = 210;

export class Timeline {
  constructor(viewer) {
    this.viewer = viewer;
    this.sheet = new Sheet("nv-sheet");
    this.band = h("div.nv-band-selected");
    this.playhead = h("div.nv-playhead");
    this.tip = h("div.nv-tip", { hidden: true });
    this.frame = h("div.nv-canvas", { tabIndex: 0, role: "img",
      onpointerdown: (e) => this.onPointer(e, true), onpointermove: (e) => this.onPointer(e, false),
      onpointerleave: () => (this.tip.hidden = true),
      onkeydown: (e) => this.onKey(e) }, this.sheet.canvas, this.band,
      this.playhead, this.tip);
    this.empty = h("p.nv-empty", {}, "No step yet: sequences will be rows here, and steps columns.");
    const { el, note } = panel("timeline", "Timeline", this.frame, this.empty);
    const hasGuesses = viewer.replay.journal.some((entry) => entry.drafts);
    note.append(legend([["prefill", "prefill"], ["cached", "prefill after a prefix hit"],
      ["decode", "decode"], ...(hasGuesses ? [["verify", "verify"]] : []), ["waiting", "waiting"], ["preempted", "preempted"]]),
    legend([["mark-hit", "hit"], ["mark-preemption", "preemption"], ["mark-eviction", "eviction"],
      ["mark-finish", "finish"], ...(hasGuesses ? [["mark-guess", "wrong guess"]] : [])]));
    this.el = el;
  }

  measure() {
    this.width = Math.max(200, this.frame.clientWidth);
  }

  layout() {
    const { replay } = this.viewer, { width } = this, numSteps = Math.max(1, replay.numSteps);
    const ids = [...replay.notes.rows.keys()].sort((a, b) => a - b);
    const rowHeight = Math.min(15, Math.max(0.5, MOST_ROWS_HEIGHT / Math.max(1, ids.length)));
    const bottom = TOP + ids.length * rowHeight;
    return { width, ids, rowHeight, gutter: GUTTER, top: TOP, bottom, height: bottom + LANE + 8,
      numSteps, cell: Math.min(30, (width - GUTTER - 4) / numSteps) };
  }

  draw() {
    const g = (this.g = this.layout());
    this.empty.hidden = g.ids.length > 0;
    const pen = this.sheet.size(g.width, g.height);
    const isSmall = g.cell < 4 || g.rowHeight < 4;
    this.drawLabels(pen, g);
    if (isSmall) this.drawPixels(pen, g);
    else this.drawCells(pen, g);
    this.drawMarks(pen, g);
    this.drawLane(pen, g);
    this.drawFork(pen, g);
  }

  // Where another engine went its own way, and from where on the two differ.
  drawFork(pen, g) {
    const { at, differs } = this.viewer.options.fork?.() ?? {}, { theme } = this.viewer;
    if (at === undefined) return;
    const x = (step) => g.gutter + step * g.cell;
    pen.save();
    pen.strokeStyle = theme.fg;
    pen.lineWidth = 1.5;
    pen.setLineDash([4, 3]);
    pen.beginPath();
    pen.moveTo(x(at), 0);
    pen.lineTo(x(at), g.height);
    pen.stroke();
    pen.restore();
    if (differs === null || differs < 0) return;
    pen.fillStyle = theme.danger;
    pen.fillRect(x(differs), g.bottom + 1, x(g.numSteps) - x(differs), 3);
  }

  drawLabels(pen, g) {
    const { theme } = this.viewer;
    pen.font = theme.font(10.5);
    pen.textBaseline = "middle";
    const every = Math.max(1, Math.ceil(13 / g.rowHeight));
    g.ids.forEach((id, i) => {
      const y = g.top + (i + 0.5) * g.rowHeight;
      if (g.rowHeight >= 4) {
        pen.fillStyle = canvasFill(pen, id);
        pen.fillRect(0, y - Math.min(4, g.rowHeight / 2 - 0.5), 8, Math.min(8, g.rowHeight - 1));
      }
      if (i % every) return;
      pen.fillStyle = theme.muted;
      pen.fillText(`seq ${id}`, 13, y + 0.5);
    });
  }

  drawCells(pen, g) {
    const { replay, theme } = this.viewer;
    const pad = g.rowHeight >= 8 ? 1.5 : 0.5, w = Math.max(1, g.cell - (g.cell > 6 ? 1 : 0.3));
    g.ids.forEach((id, i) => {
      const y = g.top + i * g.rowHeight + pad, height = g.rowHeight - 2 * pad;
      const row = replay.notes.rows.get(id);
      row.kinds.forEach((kind, j) => {
        if (!kind) return;
        const x = g.gutter + (row.first + j) * g.cell;
        if (kind === KIND.waiting || kind === KIND.idle) {
          pen.fillStyle = kind === KIND.idle ? canvasFill(pen, id) : theme.faint;
          pen.fillRect(x, y + height / 2 - 0.75, g.cell, 1.5);
        } else if (kind === KIND.preempted) {
          drawCross(pen, x + w / 2, y + height / 2, Math.min(4, height / 2, w / 2), theme.danger);
        } else {
          pen.fillStyle = canvasFill(pen, id, kind === KIND.decode || kind === KIND.verify ? 0.45 : 1);
          pen.fillRect(x, y, w, height);
          if (kind === KIND.verify) drawStripe(pen, x, y, w, height, colourOf(id));
          if (kind === KIND.cached) drawHatch(pen, x, y, Math.max(3, w / 2), height, theme.bg);
        }
      });
    });
  }

  // One pixel may cover many steps: the most telling kind among them wins.
  drawPixels(pen, g) {
    const { replay, theme } = this.viewer;
    const ratio = globalThis.devicePixelRatio || 1;
    const columns = Math.max(1, Math.round(g.cell * g.numSteps * ratio));
    const rows = Math.max(1, Math.round((g.bottom - g.top) * ratio));
    const image = pen.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    const faint = packed(theme.faint, theme.bg, 0.35), danger = packed(theme.danger, theme.bg, 1);
    const perRow = rows / g.ids.length;
    g.ids.forEach((id, i) => {
      const inks = [0, faint, packed(colourOf(id), theme.bg, 0.25),
        packed(colourOf(id), theme.bg, 0.5), packed(colourOf(id), theme.bg, 0.7), packed(colourOf(id), theme.bg, 1),
        packed(colourOf(id), theme.fg, 0.6), danger];
      const row = replay.notes.rows.get(id);
      const line = new Uint32Array(columns);
      const best = new Uint8Array(columns);
      row.kinds.forEach((kind, j) => {
        const from = Math.floor(((row.first + j) / g.numSteps) * columns);
        const to = Math.max(from + 1, Math.floor(((row.first + j + 1) / g.numSteps) * columns));
        for (let x = from; x < to; x++) {
          if (kind > best[x]) { best[x] = kind; line[x] = inks[kind]; }
        }
      });
      const first = Math.floor(i * perRow), end = Math.max(first + 1, Math.floor((i + 1) * perRow));
      const gap = end - first > 3 ? 1 : 0;
      for (let y = first; y < Math.min(rows, end - gap); y++) pixels.set(line, y * columns);
    });
    pen.putImageData(image, Math.round(g.gutter * ratio), Math.round(g.top * ratio));
  }

  drawMarks(pen, g) {
    const { replay, theme } = this.viewer;
    const seen = new Set();
    replay.notes.marks.forEach((marks, k) => {
      for (const [name, bit] of Object.entries(replay.notes.bits)) {
        const x = g.gutter + (k + 0.5) * g.cell;
        const place = `${name}${Math.round(x / 2)}`;
        if (!(marks & bit) || seen.has(place)) continue;
        seen.add(place);
        drawMark(pen, name, x, 6, Math.min(3.5, Math.max(2, g.cell / 4)), theme);
      }
    });
  }

  drawLane(pen, g) {
    const { replay, theme } = this.viewer;
    const top = g.bottom + 6, total = Math.max(1, replay.numBlocks);
    pen.fillStyle = theme.muted;
    pen.fillText("blocks", 13, top + LANE / 2);
    pen.fillStyle = theme.track;
    pen.fillRect(g.gutter, top, g.cell * g.numSteps, LANE);
    const area = (pick, style) => {
      pen.fillStyle = style;
      pen.beginPath();
      pen.moveTo(g.gutter, top + LANE);
      const stride = Math.max(1, Math.floor(0.5 / g.cell));
      for (let k = 0; k < replay.numSteps; k += stride) {
        const y = top + LANE * (1 - pick(replay.notes.levels[k]) / total);
        pen.lineTo(g.gutter + k * g.cell, y);
        pen.lineTo(g.gutter + Math.min(replay.numSteps, k + stride) * g.cell, y);
      }
      pen.lineTo(g.gutter + replay.numSteps * g.cell, top + LANE);
      pen.fill();
    };
    area(([used, cached]) => used + cached, theme.cachedArea);
    area(([used]) => used, theme.usedArea);
  }

  update({ k }) {
    if (!this.g) this.draw();
    const { g, viewer } = this, width = Math.max(2, g.cell);
    const x = g.gutter + Math.max(0, k) * g.cell;
    Object.assign(this.playhead.style, { transform: `translateX(${k < 0 ? x - 2 : x}px)`,
      width: `${k < 0 ? 2 : width}px`, height: `${g.height}px` });
    const row = g.ids.indexOf(viewer.selection.seq);
    this.band.hidden = row < 0;
    Object.assign(this.band.style, { transform: `translateY(${g.top + row * g.rowHeight}px)`,
      width: `${g.gutter + g.cell * g.numSteps}px`, height: `${Math.max(2, g.rowHeight)}px` });
  }

  settle({ k }) {
    const { g } = this, { notes, numSteps } = this.viewer.replay;
    const [used, cached] = notes.levels[k] ?? [0, 0];
    setAttribute(this.frame, "aria-label", `Timeline of ${plural(g.ids.length, "sequence")} over ` +
      `${plural(numSteps, "step")}. Left and right move the step, up and down choose a ` +
      `sequence. Now: ${used} blocks used, ${cached} cached. ` + g.ids.slice(0, 16).map((id) =>
      `seq ${id} ${KIND_NAMES[notes.kindAt(id, k)] || "absent"}`).join(", "));
  }

  find(event) {
    const { left, top } = this.frame.getBoundingClientRect();
    const g = this.g, x = event.clientX - left, y = event.clientY - top;
    const step = Math.floor((x - g.gutter) / g.cell), row = Math.floor((y - g.top) / g.rowHeight);
    return { x, y, step, seq: g.ids[row] ?? null };
  }

  onPointer(event, isPress) {
    const { viewer } = this, { x, y, step, seq } = this.find(event);
    const { replay } = viewer;
    if (isPress && seq !== null) viewer.select({ seq });
    if (isPress) this.frame.setPointerCapture?.(event.pointerId);
    if (isPress || event.buttons & 1) viewer.goto(step);
    if (step < 0 || step >= replay.numSteps) return void (this.tip.hidden = true);
    const [used, cached] = replay.notes.levels[step];
    const what = seq === null ? null : KIND_NAMES[replay.notes.kindAt(seq, step)];
    this.tip.replaceChildren(h("b", {}, `step ${replay.entry(step).step}`),
      what ? ` · seq ${seq} ${what}` : "",
      ` · ${used} used, ${cached} cached of ${replay.numBlocks} blocks`);
    placeTip(this.tip, this.frame, x, y);
  }

  onKey(event) {
    const ids = this.g.ids, at = ids.indexOf(this.viewer.selection.seq);
    const move = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!move || !ids.length) return;
    this.viewer.select({ seq: ids[Math.min(ids.length - 1, Math.max(0, at + move))] });
    event.preventDefault();
    event.stopPropagation();
  }
}

// Several tokens at once: a line through the lower half.
function drawStripe(pen, x, y, width, height, colour) {
  pen.fillStyle = colour;
  pen.fillRect(x, y + height * 0.6, width, Math.max(1, height * 0.2));
}
