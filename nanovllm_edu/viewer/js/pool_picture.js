// How the block pool looks: fill = whose, frame = free / cached / used / shared / written now.
// Large blocks carry their number, ref count and hash; thousands of blocks become plain pixels.

import { canvasFill, colourOf, COLOURS, dashedFrame, drawHatch, HAS_DARK_INK, packed, rgb } from "./ink.js";

const MARGIN = 3; // around the pool, for the ring of the selected block
const MOST_HEIGHT = 330;
const SIZES = [62, 54, 46, 40, 34, 28, 24, 20, 17, 14, 12, 10, 9, 8, 7, 6, 5, 4]; // CSS pixels
const PIXELS_BELOW = 12; // smaller blocks have no room for patterns
const NUMBERS_FROM = 24; // smaller blocks have no room for numbers

export class PoolPicture {
  constructor(viewer) {
    this.viewer = viewer;
  }

  layout(width) {
    const num = this.viewer.replay.numBlocks, room = width - 2 * MARGIN;
    const fits = (size) => Math.ceil(num / Math.floor(room / size)) * size <= MOST_HEIGHT;
    const size = SIZES.find(fits) ?? 4;
    const columns = Math.min(num, Math.floor(room / size));
    this.g = { num, size, columns, width, height: Math.ceil(num / columns) * size + 2 * MARGIN };
  }

  place(block) {
    const { size, columns } = this.g;
    return [MARGIN + (block % columns) * size, MARGIN + Math.floor(block / columns) * size];
  }

  find(event, { left, top }) {
    const { size, columns, num } = this.g;
    const x = event.clientX - left - MARGIN, y = event.clientY - top - MARGIN;
    const column = Math.floor(x / size);
    const block = column < columns ? Math.floor(y / size) * columns + column : num;
    return { x, y, block: block >= 0 && block < num ? block : null };
  }

  draw(pen, moment, written, ranks) {
    Object.assign(this, { moment, written, ranks });
    if (this.g.size < PIXELS_BELOW) return this.drawPixels(pen);
    for (let block = 0; block < this.g.num; block++) this.drawBlock(pen, block);
    return undefined;
  }

  ring(pen, block, style, width) {
    if (block === null || block === undefined || block >= this.g.num) return;
    const [x, y] = this.place(block), s = this.g.size - (this.g.size >= 20 ? 3 : 1);
    pen.strokeStyle = this.viewer.theme.bg;
    pen.lineWidth = width + 2;
    pen.strokeRect(x, y, s, s);
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.strokeRect(x - 1, y - 1, s + 2, s + 2);
  }

  underline(pen, block) {
    const { size } = this.g, [x, y] = this.place(block), { theme } = this.viewer;
    pen.fillStyle = theme.accent;
    if (size >= 14) pen.fillRect(x, y + size - (size >= 20 ? 3 : 1.5), size - 3, 2);
    else this.ring(pen, block, theme.accent, 1);
  }

  // ---- thousands of blocks: flat colours, written straight into the pixels

  drawPixels(pen) {
    const { g, written } = this, { users } = this.moment, { theme } = this.viewer;
    const ratio = globalThis.devicePixelRatio || 1, size = Math.floor(g.size * ratio);
    const image = pen.createImageData(Math.round(g.width * ratio), Math.round(g.height * ratio));
    const pixels = new Uint32Array(image.data.buffer), stride = image.width;
    const inkOf = this.inks(), fg = packed(theme.fg, theme.bg, 1);
    for (let block = 0; block < g.num; block++) {
      const colour = inkOf(block), isShared = users.get(block)?.length > 1;
      const [x, y] = this.place(block).map((value) => Math.round(value * ratio));
      const corner = written.has(block) ? size / 3 : Infinity;
      for (let j = 0; j < size - 1; j++) {
        const row = (y + j) * stride + x, isEdgeRow = j === 0 || j === size - 2;
        for (let i = 0; i < size - 1; i++) {
          const isEdge = isShared && (isEdgeRow || i === 0 || i === size - 2);
          pixels[row + i] = isEdge || i - j > corner ? fg : colour;
        }
      }
    }
    pen.putImageData(image, 0, 0);
  }

  inks() {
    const { theme } = this.viewer, { state, users } = this.moment, { ranks } = this;
    const ink = (colour, alpha) => packed(colour, theme.bg, alpha);
    const full = COLOURS.map((colour) => ink(colour, 1)), pale = COLOURS.map((colour) => ink(colour, 0.3));
    const track = ink(theme.track, 1), muted = ink(theme.muted, 0.5);
    return (block) => {
      const who = users.get(block), owner = state.ownerOf(block);
      if (who) return full[who[0] % COLOURS.length];
      if (ranks.has(block)) return ink(theme.warn, 1 - (0.85 * (ranks.get(block) - 1)) / ranks.size);
      if (state.ref[block]) return muted;
      return state.content[block] === null ? track : owner === null ? muted : pale[owner % COLOURS.length];
    };
  }

  // ---- one block

  drawBlock(pen, block) {
    const { size } = this.g, { state } = this.moment, { theme } = this.viewer;
    const [x, y] = this.place(block), s = size - (size >= 20 ? 3 : 1.5);
    const kind = state.blockState(block), users = this.moment.users.get(block) ?? [];
    if (kind === "used") this.fillUsed(pen, x, y, s, users);
    else if (kind === "cached") this.fillCached(pen, block, x, y, s);
    else frame(pen, x + 0.5, y + 0.5, s - 1, theme.border, 1);
    if (users.length > 1) frame(pen, x + 1.5, y + 1.5, s - 3, theme.fg, size >= 20 ? 2 : 1);
    if (this.written.has(block)) this.drawCorner(pen, x, y, s);
    if (size < NUMBERS_FROM) return;
    this.write(pen, block, x, y, s, kind, users);
    if (this.ranks.has(block)) this.writeRank(pen, block, x, y, s);
  }

  // Of several users, the first three share the square.
  fillUsed(pen, x, y, s, users) {
    const num = Math.max(1, Math.min(3, users.length));
    users.slice(0, 3).forEach((id, i) => {
      pen.fillStyle = canvasFill(pen, id);
      pen.fillRect(x + (i * s) / num, y, s / num, s);
    });
    if (users.length) return;
    pen.fillStyle = this.viewer.theme.muted;
    pen.fillRect(x, y, s, s);
  }

  fillCached(pen, block, x, y, s) {
    const { theme } = this.viewer, { size } = this.g, owner = this.moment.state.ownerOf(block);
    if (size < NUMBERS_FROM && this.ranks.has(block)) {
      pen.fillStyle = this.rankInk(block);
      return pen.fillRect(x, y, s, s);
    }
    pen.fillStyle = owner === null ? theme.track : canvasFill(pen, owner, 0.22);
    pen.fillRect(x, y, s, s);
    drawHatch(pen, x, y, s, s, theme.bg, size >= 20 ? 6 : 4);
    if (size >= 14) dashedFrame(pen, x, y, s, owner === null ? theme.muted : colourOf(owner));
    return undefined;
  }

  // Where there is no room for numbers: the next to be evicted is the strongest.
  rankInk(block) {
    const { ranks } = this, { theme } = this.viewer;
    const [r, g, b] = rgb(theme.warn);
    return `rgb(${r} ${g} ${b} / ${1 - (0.85 * (ranks.get(block) - 1)) / ranks.size})`;
  }

  drawCorner(pen, x, y, s) {
    const corner = Math.max(3, s * 0.26);
    pen.fillStyle = this.viewer.theme.fg;
    pen.beginPath();
    pen.moveTo(x + s, y);
    pen.lineTo(x + s - corner, y);
    pen.lineTo(x + s, y + corner);
    pen.fill();
  }

  write(pen, block, x, y, s, kind, users) {
    const { theme } = this.viewer, { state } = this.moment, hash = state.hashOf(block);
    const isPlain = users.length === 1 && users[0] < COLOURS.length; // one colour, no pattern
    const ink = kind === "free" ? theme.muted : !isPlain ? theme.fg
      : HAS_DARK_INK[users[0] % COLOURS.length] ? "#10161d" : "#fff";
    const plate = kind === "used" && !isPlain ? theme.bg : null;
    pen.textBaseline = "top";
    label(pen, String(block), x + 4, y + 4, theme.font(s >= 40 ? 11 : 9.5, 600), ink, plate);
    if (s >= 36 && users.length > 1) {
      label(pen, `×${state.ref[block]}`, x + 4, y + s / 2 - 4, theme.font(10, 600), ink, plate);
    }
    if (s >= 42 && hash !== null) {
      label(pen, hash.slice(0, 5), x + 4, y + s - 13, theme.mono(9.5), ink, plate);
    }
  }

  writeRank(pen, block, x, y, s) {
    const { theme } = this.viewer, text = String(this.ranks.get(block));
    pen.font = theme.font(s >= 24 ? 11 : 9, 700);
    const width = pen.measureText(text).width + 6;
    pen.fillStyle = theme.fg;
    pen.beginPath();
    pen.roundRect(x + s - width - 2, y + s - 15, width, 13, 6);
    pen.fill();
    pen.fillStyle = theme.bg;
    pen.textBaseline = "middle";
    pen.fillText(text, x + s - width + 1, y + s - 8);
  }
}

function frame(pen, x, y, s, style, width) {
  pen.strokeStyle = style;
  pen.lineWidth = width;
  pen.strokeRect(x, y, s, s);
}

// Words on a pattern need a plate to be read on.
function label(pen, text, x, y, font, ink, plate) {
  pen.font = font;
  if (plate) {
    pen.globalAlpha = 0.86;
    pen.fillStyle = plate;
    pen.fillRect(x - 2, y - 2, pen.measureText(text).width + 4, 12.5);
    pen.globalAlpha = 1;
  }
  pen.fillStyle = ink;
  pen.fillText(text, x, y);
}
