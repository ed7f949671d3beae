// The linked view of a recording: one ES module, no build step, no network.
//
// It reads the document of docs/reference/recording_format.md, folds the states itself and draws
// them. The same file serves the notebook widget (`render`) and the exported page (`mount`).
// One visual rule holds everywhere: COLOUR is the sequence, TEXTURE is what happened to it.
//
// Sections:  1 constants   2 replay (states)   3 sentences   4 DOM and colour   5 panels
//            6 viewer      7 entry points

// ------------------------------------------------------------------------------- 1 constants

const SCHEMA_VERSION = 1;
const FORMAT = "nanovllm-edu recording";
const FRAME_INTERVAL = 32; // steps between the key frames that are kept for scrubbing
const ROWS_AT_ONCE = 12; // of a list, drawn with the step; the others follow when it is calm
const MARGIN = 3; // around the block pool, for the ring of the selected block
const MAX_ROWS = 200; // longest list that is put into the page; the rest is summed up

// What a sequence did in a step. Higher wins where several steps share one pixel.
const KIND = { none: 0, waiting: 1, idle: 2, decode: 3, prefill: 4, cached: 5, preempted: 6 };
const KIND_NAMES = ["", "waiting", "running, not in this step", "decode", "prefill",
  "prefill after a prefix hit", "preempted"];

const MARK = { hit: 1, eviction: 2, preemption: 4, finish: 8 };
const BREAKPOINTS = [
  ["hit", "prefix hit"], ["preemption", "preemption"],
  ["eviction", "eviction"], ["finish", "sequence finishes"],
];

// Eight colours that differ for colour-blind eyes too (tests/widgets/test_palette.py measures it)
// and stand out in both themes; after eight sequences they come back with another pattern.
const COLOURS = ["#2063a6", "#e58b1a", "#5acfb5", "#a61856", "#a2b6ec", "#7f5d1a", "#c4b974",
  "#7c29dc"];
const HAS_DARK_INK = [false, true, true, false, true, false, true, false]; // text on the colour
const PATTERNS = ["solid", "diagonal", "dots", "horizontal"];
const PHASE_COLOURS = { plan: 0, prepare: 4, forward: 1, sample: 2, commit: 3 };

// -------------------------------------------------------------------------- 2 replay (states)

class State {
  constructor(numBlocks) {
    this.planned = 0;
    this.waiting = [];
    this.running = [];
    this.seqs = new Map();
    this.ref = new Int32Array(numBlocks);
    this.hash = new Array(numBlocks).fill(null);
    this.order = new Set(); // cached blocks without a user, next to be evicted first
    this.sampling = []; // per planned and uncommitted step: which sequences get a token
    this.numUsed = 0;
  }

  static fromFrame(frame, numBlocks) {
    const state = new State(numBlocks);
    state.planned = frame.planned;
    state.waiting = [...frame.waiting];
    state.running = [...frame.running];
    for (const [id, known, prompt, computed, inFlight, slot, decoding, table] of frame.sequences) {
      state.seqs.set(id, { id, known, prompt, computed, inFlight, slot, decoding: !!decoding,
        table: [...table], hit: 0, prefillEnd: computed, match: null });
    }
    for (const [block, ref, hash] of frame.blocks) {
      state.ref[block] = ref;
      state.hash[block] = hash;
      if (ref) state.numUsed += 1;
    }
    state.order = new Set(frame.eviction_order);
    return state;
  }

  clone() {
    const twin = Object.create(State.prototype);
    Object.assign(twin, this);
    twin.waiting = [...this.waiting];
    twin.running = [...this.running];
    twin.ref = this.ref.slice();
    twin.hash = this.hash.slice();
    twin.order = new Set(this.order);
    twin.sampling = [...this.sampling];
    twin.seqs = new Map();
    for (const [id, seq] of this.seqs) twin.seqs.set(id, { ...seq, table: seq.table.slice() });
    return twin;
  }

  blockState(block) {
    if (this.ref[block]) return "used";
    return this.hash[block] === null ? "free" : "cached";
  }
}

export class Replay {
  constructor(doc) {
    check(doc);
    this.engine = doc.engine;
    this.blockSize = doc.engine.block_size;
    this.numBlocks = doc.engine.num_blocks;
    this.phases = doc.phases;
    this.pieces = {};
    this.kinds = doc.event_kinds;
    this.code = {}; // kind name -> its number
    this.at = {}; // kind name -> field name -> place in the row
    doc.event_kinds.forEach(([name, fields], i) => {
      this.code[name] = i;
      this.at[name] = Object.fromEntries(fields.map((field, j) => [field, j + 1]));
    });
    this.requests = new Map();
    this.tokens = new Map(); // seq id -> every token that ever becomes known
    this.contents = new Map(); // hash -> { tokens } or { seq, index }
    for (const request of doc.initial.requests) this.addRequest(request);
    for (const [hash, tokens] of Object.entries(doc.initial.contents)) {
      this.contents.set(hash, { tokens });
    }
    this.journal = [];
    this.steps = []; // step -> place in the journal
    this.failures = []; // the last step before each failure
    this.rows = new Map(); // seq id -> { first, kinds: what it did in step first + i }
    this.marks = [];
    this.levels = []; // step -> [used, cached] blocks
    this.ended = new Map(); // seq id -> { step, reason, detail }
    this.plannedKinds = []; // per planned and uncommitted step: Map seq id -> what it does
    this.frames = [];
    this.head = State.fromFrame(doc.initial, this.numBlocks);
    this.frames.push({ place: 0, state: this.head.clone(), step: -1 });
    this.listeners = new Set();
    this.append(doc.journal, doc.pieces);
  }

  get numSteps() {
    return this.steps.length;
  }

  append(entries, pieces) {
    if (!entries.length && this.numSteps) return;
    Object.assign(this.pieces, pieces);
    for (const entry of entries) {
      if ("step" in entry) this.steps.push(this.journal.length);
      if ("resume" in entry) this.failures.push(this.steps.length - 1);
      this.journal.push(entry);
    }
    for (let i = this.journal.length - entries.length; i < this.journal.length; i++) {
      this.apply(this.head, i, true);
    }
    for (const listener of this.listeners) listener();
  }

  addRequest(request) {
    this.requests.set(request.seq_id, request);
    if (!this.tokens.has(request.seq_id)) this.tokens.set(request.seq_id, [...request.token_ids]);
  }

  // The state right after step k (k = -1: before the first), and what step k did.
  // After the last step, requests that have come since are there too.
  moment(k) {
    const last = this.numSteps - 1;
    const end = k === last ? this.journal.length : k < 0 ? this.steps[0] : this.steps[k] + 1;
    let base = this.frames[0];
    for (const frame of this.frames) {
      if (frame.step < k && frame.state.planned <= Math.max(k, 0)) base = frame;
      else break;
    }
    const state = base.state.clone();
    this.capture = { step: k, detail: { chunks: [], tables: new Map() } };
    for (let i = base.place; i < end; i++) this.apply(state, i, false);
    const { detail } = this.capture;
    this.capture = null;
    return { k, state, ...detail, entry: k >= 0 ? this.journal[this.steps[k]] : null };
  }

  apply(state, place, isFirstTime) {
    const entry = this.journal[place];
    if ("add" in entry) {
      if (isFirstTime) this.addRequest(entry.add);
      const { seq_id: id, token_ids: tokens, num_prompt_tokens: prompt } = entry.add;
      state.seqs.set(id, { id, known: tokens.length, prompt, computed: 0, inFlight: 0, slot: null,
        decoding: false, table: [], hit: 0, prefillEnd: 0, match: null });
      state.waiting.push(id);
    } else if ("abort" in entry) {
      for (const event of entry.abort) this.applyEvent(state, event);
      this.reorder(state, entry, [...state.order]);
      if (isFirstTime) this.noteEndings(entry.abort, this.stepOf(place));
    } else if ("update" in entry) {
      state.seqs.get(entry.update).params = entry.params;
    } else if ("resume" in entry) {
      Object.assign(state, State.fromFrame(entry.resume, this.numBlocks));
      if (isFirstTime) this.plannedKinds.length = 0;
    } else {
      const step = this.stepOf(place);
      const before = [...("order_change" in entry ? state.order : [])];
      const aheadTo = Math.min(step + (entry.in_flight ?? 0), this.lastPlanned(step));
      while (state.planned <= aheadTo) this.plan(state, state.planned);
      this.commit(state, entry);
      this.reorder(state, entry, before);
      if (isFirstTime) this.noteStep(state, entry, step, place);
    }
  }

  stepOf(place) {
    let low = 0, high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle] < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  lastPlanned(step) {
    return this.failures.find((end) => end >= step) ?? this.numSteps - 1;
  }

  plan(state, step) {
    const entry = this.journal[this.steps[step]];
    const detail = this.capture?.step === step ? this.capture.detail : null;
    const numbers = entry.chunks;
    const kinds = new Map();
    const firstBlocks = [];
    if (detail) {
      for (let i = 0; i < numbers.length; i += 2) {
        firstBlocks.push(state.seqs.get(numbers[i]).table.length);
      }
    }
    for (const event of entry.plan ?? []) this.applyEvent(state, event);
    const sampling = [];
    for (let i = 0; i < numbers.length; i += 2) {
      const seq = state.seqs.get(numbers[i]);
      const num = numbers[i + 1];
      const start = seq.computed;
      const isDecode = seq.decoding;
      seq.computed += num;
      if (!isDecode) seq.prefillEnd = seq.computed;
      kinds.set(seq.id, isDecode ? KIND.decode
        : start > 0 && start === seq.hit ? KIND.cached : KIND.prefill);
      const samples = seq.computed === seq.known + seq.inFlight;
      if (samples) {
        seq.inFlight += 1;
        seq.decoding = true;
        sampling.push(seq.id);
      }
      if (detail) {
        detail.chunks.push({ seq: seq.id, slot: seq.slot, start, num, end: start + num, isDecode,
          samples, hit: start > 0 && start === seq.hit && !isDecode ? seq.hit : 0,
          newBlocks: seq.table.slice(firstBlocks[i / 2]) });
      }
    }
    if (detail) for (const id of state.running) detail.tables.set(id, state.seqs.get(id).table.slice());
    state.sampling.push(sampling);
    state.planned += 1;
    if (state === this.head) this.plannedKinds.push(kinds);
  }

  commit(state, entry) {
    const sampling = state.sampling.shift() ?? [];
    entry.tokens.forEach((token, i) => {
      if (token === null) return;
      const seq = state.seqs.get(sampling[i]);
      const tokens = this.tokens.get(seq.id);
      if (tokens.length === seq.known) tokens.push(token);
      seq.known += 1;
      seq.inFlight -= 1;
    });
    for (const event of entry.commit ?? []) this.applyEvent(state, event);
  }

  applyEvent(state, event) {
    const name = this.kinds[event[0]][0];
    const at = this.at[name];
    const id = event[1];
    const seq = state.seqs.get(id);
    const block = event[at.block_id];
    switch (name) {
      case "BlockAllocated":
        state.ref[block] = 1;
        state.numUsed += 1;
        seq.table.push(block);
        break;
      case "BlockCached":
        state.hash[block] = event[at.hash];
        this.contents.set(event[at.hash], { seq: id, index: event[at.logical_index] });
        break;
      case "BlockFreed":
        state.ref[block] -= 1;
        if (!state.ref[block]) {
          state.numUsed -= 1;
          if (state.hash[block] !== null) state.order.add(block);
        }
        if (seq) seq.table.splice(seq.table.lastIndexOf(block), 1);
        break;
      case "BlockEvicted":
      case "BlockForgotten":
        state.hash[block] = null;
        state.order.delete(block);
        break;
      case "Admitted":
        seq.slot = event[at.slot];
        remove(state.waiting, id);
        state.running.push(id);
        break;
      case "PrefixHit":
        for (const shared of event[at.block_ids]) {
          if (!state.ref[shared]) {
            state.order.delete(shared);
            state.numUsed += 1;
          }
          state.ref[shared] += 1;
        }
        seq.table = [...event[at.block_ids]];
        seq.computed = seq.hit = seq.prefillEnd = event[at.num_tokens];
        seq.match = { stoppedAt: event[at.stopped_at], why: event[at.stopped_because] };
        break;
      case "Preempted":
        seq.computed = seq.hit = seq.prefillEnd = 0;
        seq.slot = null;
        seq.decoding = false;
        remove(state.running, id);
        state.waiting.unshift(id);
        break;
      case "Finished":
        remove(state.waiting, id);
        remove(state.running, id);
        state.seqs.delete(id);
        break;
      default:
        throw new Error(`the recording has an event that this viewer does not know: ${name}`);
    }
  }

  reorder(state, entry, before) {
    if ("order" in entry) state.order = new Set(entry.order);
    if (!("order_change" in entry)) return;
    const [removed, inserted] = entry.order_change;
    const gone = new Set(removed);
    const order = before.filter((block) => !gone.has(block));
    for (const [block, index] of inserted) order.splice(index, 0, block);
    state.order = new Set(order);
  }

  // ---- what is kept per step, for the timeline, the breakpoints and the memory lane

  noteStep(state, entry, step, place) {
    const { code, at } = this;
    let marks = 0;
    const preempted = [];
    for (const event of entry.plan ?? []) {
      if (event[0] === code.PrefixHit && event[at.PrefixHit.num_tokens]) marks |= MARK.hit;
      else if (event[0] === code.Preempted) preempted.push(event[1]);
      else if (event[0] === code.BlockEvicted) marks |= MARK.eviction;
    }
    if (this.noteEndings(entry.commit ?? [], step)) marks |= MARK.finish;
    if (preempted.length) marks |= MARK.preemption;
    this.marks.push(marks);
    this.levels.push([state.numUsed, state.order.size]);
    for (const id of state.waiting) this.noteKind(id, step, KIND.waiting);
    for (const id of state.running) this.noteKind(id, step, KIND.idle);
    for (const [id, kind] of this.plannedKinds.shift()) this.noteKind(id, step, kind);
    for (const id of preempted) this.noteKind(id, step, KIND.preempted);
    if ((step + 1) % FRAME_INTERVAL === 0) {
      this.frames.push({ place: place + 1, state: state.clone(), step });
    }
  }

  noteKind(id, step, kind) {
    let row = this.rows.get(id);
    if (!row) this.rows.set(id, (row = { first: step, kinds: [] }));
    while (row.kinds.length < step - row.first) row.kinds.push(KIND.none);
    row.kinds[step - row.first] = kind;
  }

  noteEndings(events, step) {
    const at = this.at.Finished;
    const endings = events.filter((event) => event[0] === this.code.Finished);
    for (const event of endings) {
      this.ended.set(event[1], { step, reason: event[at.reason], detail: event[at.detail] });
    }
    return endings.length;
  }

  // ---- answers for the panels

  kindAt(id, step) {
    const row = this.rows.get(id);
    return row ? row.kinds[step - row.first] ?? KIND.none : KIND.none;
  }

  text(token) {
    return this.pieces[token] ?? String(token);
  }

  get hasText() {
    return Object.keys(this.pieces).length > 0;
  }

  contentOf(hash) {
    const content = this.contents.get(hash);
    if (!content) return [];
    if (content.tokens) return content.tokens;
    const start = content.index * this.blockSize;
    return this.tokens.get(content.seq).slice(start, start + this.blockSize);
  }

  ownerOf(hash) {
    return this.contents.get(hash)?.seq ?? null;
  }

  // Every event of a step in the order it happened, as objects with their sentence.
  events(k, moment = this.moment(k)) {
    const entry = this.journal[this.steps[k]];
    const events = (entry.plan ?? []).map((row) => this.event(row, "plan"));
    const rest = (entry.commit ?? []).map((row) => this.event(row, "commit"));
    const sampling = moment.chunks.filter((chunk) => chunk.samples);
    entry.tokens.forEach((token_id, i) => {
      if (token_id === null) return;
      const { seq: seq_id, end: position } = sampling[i];
      events.push(withWhy({ kind: "TokenSampled", seq_id, token_id, position, phase: "commit" }));
      while (rest.length && rest[0].seq_id === seq_id) events.push(rest.shift());
    });
    return events;
  }

  event(row, phase) {
    const [name, fields] = this.kinds[row[0]];
    const event = { kind: name, phase };
    fields.forEach((field, i) => (event[field] = row[i + 1]));
    return withWhy(event);
  }

  // The same values as EngineState.to_dict() in Python; the browser tests compare them.
  stateDict(k) {
    const { state } = this.moment(k);
    const sequences = {};
    for (const id of [...state.running, ...state.waiting]) {
      const seq = state.seqs.get(id);
      sequences[id] = {
        status: state.running.includes(id) ? "running" : "waiting",
        token_ids: this.tokens.get(id).slice(0, seq.known),
        num_prompt_tokens: seq.prompt,
        num_computed_tokens: seq.computed,
        num_in_flight: seq.inFlight,
        slot: seq.slot,
      };
    }
    return {
      waiting: state.waiting,
      running: state.running,
      block_tables: Object.fromEntries(state.running.map((id) => [id, state.seqs.get(id).table])),
      blocks: Array.from(state.ref, (ref, block) => ({
        block_id: block,
        ref_count: ref,
        hash: state.hash[block],
        token_ids: state.hash[block] === null ? [] : this.contentOf(state.hash[block]),
        state: state.blockState(block),
      })),
      sequences,
      eviction_order: [...state.order],
    };
  }
}

function check(doc) {
  if (!doc || doc.format !== FORMAT) {
    throw new Error("this is not a recording; pass what recording.to_dict() returns");
  }
  if (doc.schema_version !== SCHEMA_VERSION) {
    throw new Error(`the recording has schema version ${doc.schema_version}, and this viewer ` +
      `reads ${SCHEMA_VERSION}; open it with the version that wrote it`);
  }
}

function remove(list, value) {
  const index = list.indexOf(value);
  if (index >= 0) list.splice(index, 1);
}

// ------------------------------------------------------------------------------- 3 sentences

// The words of `Event.why` in core/records.py; a browser test holds the two together.
const SENTENCES = {
  Admitted: (e) => `seq ${e.seq_id} is admitted to slot ${e.slot}: ${e.num_cached_tokens} of its ` +
    `${e.num_tokens} tokens are cached, the other ones need ${e.num_needed_blocks} of ` +
    `${e.num_free_blocks} free blocks, and ${e.num_chunk_tokens} fit the token budget of ` +
    `${e.budget_left} now`,
  PrefixHit: (e) => (e.block_ids.length
    ? `seq ${e.seq_id} finds its first ${e.num_tokens} tokens cached`
    : `seq ${e.seq_id} finds nothing cached`) +
    `; the match stops at block ${e.stopped_at}: ${e.stopped_because}`,
  BlockAllocated: (e) => `seq ${e.seq_id} gets block ${e.block_id} as its block ` +
    `${e.logical_index}, because its tokens [${e.start}, ${e.end}) pass the end of the blocks it has`,
  BlockCached: (e) => `block ${e.block_id} (block ${e.logical_index} of seq ${e.seq_id}) is full ` +
    `and its tokens are known, so it can be found by hash ${e.hash}`,
  BlockEvicted: (e) => `block ${e.block_id} forgets its content (hash ${e.hash}): seq ${e.seq_id} ` +
    `needs a block, none is blank, and it is first in line by ${e.policy}`,
  BlockForgotten: (e) => `block ${e.block_id} forgets its content (hash ${e.hash}): the block in ` +
    `front of it was evicted, so no match could reach it, and block ${e.for_block_id} of seq ` +
    `${e.seq_id} now has the same content`,
  BlockFreed: (e) => `seq ${e.seq_id} lets go of block ${e.block_id}: ` + (e.ref_count
    ? `still used by ${e.ref_count} other sequence(s)`
    : e.is_cached ? "free but findable until evicted" : "free and blank"),
  Preempted: (e) => `seq ${e.seq_id} is preempted and lets go of ${e.num_blocks} blocks ` +
    `(${e.num_lost_tokens} computed tokens, to be found again or recomputed): ${e.reason}`,
  TokenSampled: (e) => `seq ${e.seq_id} got token ${e.token_id} at position ${e.position}`,
  Finished: (e) => `seq ${e.seq_id} is finished with ${e.num_tokens} tokens (reason ` +
    `'${e.reason}': ${e.detail})`,
};

const EVENT_LABELS = { Admitted: "admit", PrefixHit: "match", BlockAllocated: "allocate",
  BlockCached: "cache", BlockEvicted: "evict", BlockForgotten: "forget", BlockFreed: "free",
  Preempted: "preempt", TokenSampled: "token", Finished: "finish" };

function withWhy(event) {
  return { ...event, why: SENTENCES[event.kind](event) };
}

const plural = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// -------------------------------------------------------------------------- 4 DOM and colour

// h("div.name", { title: "x", onclick: f, data: { pos: 3 } }, child, "text", [children])
function h(name, props = {}, ...children) {
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

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const colourOf = (seq) => COLOURS[seq % COLOURS.length];
const patternOf = (seq) => PATTERNS[Math.floor(seq / COLOURS.length) % PATTERNS.length];

function swatch(seq) {
  return h(`i.nv-swatch.nv-${patternOf(seq)}`, {
    style: { "--seq": colourOf(seq) }, "aria-hidden": "true" });
}

// Fill of a canvas cell: the sequence's colour, with its pattern on top.
const patternCache = new Map();
function canvasFill(context, seq, alpha = 1) {
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
class Sheet {
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

function panel(name, title, ...children) {
  const note = h("span.nv-note");
  const tools = h("span.nv-tools");
  const head = h("header", {}, h("h3", {}, title), note, tools);
  const el = h(`section.nv-panel.nv-${name}`, { "aria-label": title }, head, children);
  return { el, note, tools };
}

// Fills a list: what is in sight at once, the rest once nobody scrubs any more.
function fillList(list, items, build) {
  list.replaceChildren(...items.slice(0, ROWS_AT_ONCE).map(build));
  clearTimeout(list.timer);
  if (items.length <= ROWS_AT_ONCE) return;
  list.timer = setTimeout(() => {
    list.append(...items.slice(ROWS_AT_ONCE, MAX_ROWS).map(build));
    if (items.length > MAX_ROWS) list.append(h("span.nv-more", {}, `and ${items.length - MAX_ROWS} more`));
  }, 300);
}

function formatSeconds(micros) {
  if (micros >= 1e6) return `${(micros / 1e6).toFixed(2)} s`;
  if (micros >= 1e3) return `${(micros / 1e3).toFixed(micros >= 1e4 ? 1 : 2)} ms`;
  return `${micros.toFixed(0)} µs`;
}

const shown = (text) => text.replace(/\n/g, "↵\n").replace(/\t/g, "⇥");

// ---------------------------------------------------------------------------------- 5 panels

class Transport {
  constructor(viewer) {
    this.viewer = viewer;
    const button = (name, label, action, keys) => h("button.nv-button", {
      type: "button", title: keys ? `${label} (${keys})` : label, "aria-label": label,
      onclick: action, data: { action: name } }, icon(name));
    this.play = button("play", "Play", () => viewer.togglePlay(), "space");
    this.slider = h("input", { type: "range", min: -1, step: 1, "aria-label": "Step",
      oninput: () => viewer.gotoSoon(Number(this.slider.value)) });
    this.label = h("output.nv-step");
    this.jump = h("select.nv-select", { "aria-label": "Run to the next",
      onchange: () => { viewer.runTo(this.jump.value); this.jump.value = ""; } },
    h("option", { value: "" }, "run to…"),
    BREAKPOINTS.map(([name, label]) => h("option", { value: name }, `next ${label}`)));
    this.el = h("div.nv-bar", { role: "toolbar", "aria-label": "Steps" },
      h("span.nv-buttons", {},
        button("first", "First step", () => viewer.goto(-1), "Home"),
        button("back", "Step back", () => viewer.goto(viewer.step - 1), "←"),
        this.play,
        button("next", "Step forward", () => viewer.goto(viewer.step + 1), "→"),
        button("last", "Last step", () => viewer.goto(Infinity), "End")),
      this.label, this.slider, this.jump);
    if (viewer.options.themeToggle) {
      this.el.append(button("theme", "Light or dark", () => viewer.toggleTheme()));
    }
  }

  update({ k, entry }) {
    const { replay } = this.viewer;
    this.slider.max = replay.numSteps - 1;
    this.slider.value = k;
    const text = entry ? `step ${entry.step}` : "before the first step";
    this.slider.setAttribute("aria-valuetext", text);
    this.label.replaceChildren(h("b", {}, text), h("span", {}, entry ? ` ${k + 1} / ${replay.numSteps}` : ""));
  }

  setPlaying(isPlaying) {
    this.play.replaceChildren(icon(isPlaying ? "pause" : "play"));
    this.play.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }
}

// Sequences × steps; above it the marks of the breakpoints, below it the memory lane.
class Timeline {
  constructor(viewer) {
    this.viewer = viewer;
    this.sheet = new Sheet("nv-sheet");
    this.cursor = new Sheet("nv-overlay");
    this.tip = h("div.nv-tip", { hidden: true });
    this.frame = h("div.nv-canvas", { tabIndex: 0, role: "img",
      onpointerdown: (e) => this.onPointer(e, true), onpointermove: (e) => this.onPointer(e, false),
      onpointerleave: () => (this.tip.hidden = true),
      onkeydown: (e) => this.onKey(e) }, this.sheet.canvas, this.cursor.canvas, this.tip);
    const { el, note } = panel("timeline", "Timeline", this.frame);
    note.append(legend([["prefill", "prefill"], ["cached", "prefill after a prefix hit"],
      ["decode", "decode"], ["waiting", "waiting"], ["preempted", "preempted"]]),
    legend([["mark-hit", "hit"], ["mark-preemption", "preemption"], ["mark-eviction", "eviction"],
      ["mark-finish", "finish"]]));
    this.el = el;
  }

  measure() {
    this.width = Math.max(200, this.frame.clientWidth);
  }

  layout() {
    const { replay } = this.viewer;
    const width = this.width;
    const numSteps = Math.max(1, replay.numSteps);
    const ids = [...replay.rows.keys()].sort((a, b) => a - b);
    const rowHeight = Math.min(15, Math.max(0.5, 210 / Math.max(1, ids.length)));
    const gutter = 56, top = 14, lane = 30;
    const bottom = top + ids.length * rowHeight;
    return { width, ids, rowHeight, gutter, top, bottom, lane, height: bottom + lane + 8, numSteps,
      cell: Math.min(30, (width - gutter - 4) / numSteps) };
  }

  draw() {
    const g = (this.g = this.layout());
    const pen = this.sheet.size(g.width, g.height);
    const isSmall = g.cell < 4 || g.rowHeight < 4;
    this.drawLabels(pen, g);
    if (isSmall) this.drawPixels(pen, g);
    else this.drawCells(pen, g);
    this.drawMarks(pen, g);
    this.drawLane(pen, g);
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
      const row = replay.rows.get(id);
      row.kinds.forEach((kind, j) => {
        if (!kind) return;
        const x = g.gutter + (row.first + j) * g.cell;
        if (kind === KIND.waiting || kind === KIND.idle) {
          pen.fillStyle = kind === KIND.idle ? canvasFill(pen, id) : theme.faint;
          pen.fillRect(x, y + height / 2 - 0.75, g.cell, 1.5);
        } else if (kind === KIND.preempted) {
          drawCross(pen, x + w / 2, y + height / 2, Math.min(4, height / 2, w / 2), theme.danger);
        } else {
          pen.fillStyle = canvasFill(pen, id, kind === KIND.decode ? 0.45 : 1);
          pen.fillRect(x, y, w, height);
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
        packed(colourOf(id), theme.bg, 0.5), packed(colourOf(id), theme.bg, 1),
        packed(colourOf(id), theme.fg, 0.6), danger];
      const row = replay.rows.get(id);
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
    replay.marks.forEach((marks, k) => {
      for (const [name, bit] of Object.entries(MARK)) {
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
    pen.fillText("blocks", 13, top + g.lane / 2);
    pen.fillStyle = theme.track;
    pen.fillRect(g.gutter, top, g.cell * g.numSteps, g.lane);
    const area = (pick, style) => {
      pen.fillStyle = style;
      pen.beginPath();
      pen.moveTo(g.gutter, top + g.lane);
      const stride = Math.max(1, Math.floor(0.5 / g.cell));
      for (let k = 0; k < replay.numSteps; k += stride) {
        const y = top + g.lane * (1 - pick(replay.levels[k]) / total);
        pen.lineTo(g.gutter + k * g.cell, y);
        pen.lineTo(g.gutter + Math.min(replay.numSteps, k + stride) * g.cell, y);
      }
      pen.lineTo(g.gutter + replay.numSteps * g.cell, top + g.lane);
      pen.fill();
    };
    area(([used, cached]) => used + cached, theme.cachedArea);
    area(([used]) => used, theme.usedArea);
  }

  update({ k }) {
    if (!this.g) this.draw();
    const g = this.g, { viewer } = this;
    const pen = this.cursor.size(g.width, g.height);
    const { theme, replay } = viewer;
    const row = g.ids.indexOf(viewer.selection.seq);
    if (row >= 0) {
      pen.fillStyle = theme.selectedBand;
      pen.fillRect(0, g.top + row * g.rowHeight, g.gutter + g.cell * g.numSteps, Math.max(2, g.rowHeight));
    }
    const x = g.gutter + Math.max(0, k) * g.cell, w = Math.max(2, g.cell);
    pen.fillStyle = theme.playhead;
    if (k >= 0) pen.fillRect(x, g.top - 2, w, g.height - g.top);
    pen.fillStyle = theme.accent;
    pen.fillRect(k < 0 ? x - 2 : x + w / 2 - 1, 0, 2, g.height);
    const [used, cached] = replay.levels[k] ?? [0, 0];
    this.frame.setAttribute("aria-label", `Timeline of ${plural(g.ids.length, "sequence")} over ` +
      `${plural(replay.numSteps, "step")}. Left and right move the step, up and down choose a ` +
      `sequence. Now: ${used} blocks used, ${cached} cached. ` + g.ids.slice(0, 16).map((id) =>
      `seq ${id} ${KIND_NAMES[replay.kindAt(id, k)] || "absent"}`).join(", "));
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
    const [used, cached] = replay.levels[step];
    const what = seq === null ? null : KIND_NAMES[replay.kindAt(seq, step)];
    this.tip.replaceChildren(h("b", {}, `step ${replay.journal[replay.steps[step]].step}`),
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

function legend(entries) {
  return h("span.nv-legend", { "aria-hidden": "true" }, entries.map(([key, label]) =>
    h("span", {}, h(`i.nv-key.nv-key-${key}`), label)));
}

function drawCross(pen, x, y, size, style) {
  pen.strokeStyle = style;
  pen.lineWidth = Math.max(1.3, size / 2.6);
  pen.beginPath();
  pen.moveTo(x - size, y - size);
  pen.lineTo(x + size, y + size);
  pen.moveTo(x + size, y - size);
  pen.lineTo(x - size, y + size);
  pen.stroke();
}

function drawHatch(pen, x, y, width, height, style, gap = 4) {
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

function drawMark(pen, name, x, y, size, theme) {
  pen.fillStyle = pen.strokeStyle = name === "preemption" ? theme.danger
    : name === "hit" ? theme.good : name === "eviction" ? theme.warn : theme.muted;
  pen.beginPath();
  if (name === "preemption") return drawCross(pen, x, y, size * 0.8, theme.danger);
  if (name === "hit") { pen.moveTo(x - size, y - size); pen.lineTo(x + size, y - size); pen.lineTo(x, y + size); }
  else if (name === "eviction") { pen.moveTo(x, y - size); pen.lineTo(x + size, y); pen.lineTo(x, y + size); pen.lineTo(x - size, y); }
  else pen.arc(x, y, size * 0.8, 0, 7);
  pen.fill();
}

function packed(ink, paper, alpha) {
  const [a, b] = [rgb(ink), rgb(paper)];
  const [r, g, bl] = a.map((value, i) => Math.round(value * alpha + b[i] * (1 - alpha)));
  return ((255 << 24) | (bl << 16) | (g << 8) | r) >>> 0;
}

function rgb(text) {
  const hex = /^#(..)(..)(..)/.exec(text);
  if (hex) return hex.slice(1).map((part) => parseInt(part, 16));
  return (text.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
}

function placeTip(tip, frame, x, y) {
  tip.hidden = false;
  const left = Math.min(x + 12, frame.clientWidth - tip.offsetWidth - 2);
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${y + 14}px`;
}

class Queues {
  constructor(viewer) {
    this.viewer = viewer;
    const { el } = panel("queues", "Queues",
      (this.waiting = h("div.nv-queue")), (this.running = h("div.nv-queue")),
      (this.finished = h("div.nv-queue")));
    this.el = el;
  }

  update({ k, state, entry }) {
    const { replay } = this.viewer;
    const blocked = entry?.blocked;
    this.fill(this.waiting, "waiting", state.waiting, (id) => {
      const seq = state.seqs.get(id);
      return `${seq.known} tokens${seq.known > seq.prompt ? ", was running" : ""}`;
    }, "Nobody waits.");
    if (blocked && state.waiting.length) {
      this.waiting.append(h("p.nv-reason", {}, h("b", {}, `seq ${blocked[0]} waits: `), blocked[4]));
    }
    this.fill(this.running, "running", state.running, (id) => {
      const seq = state.seqs.get(id);
      return `${seq.computed} of ${seq.known} tokens · ${plural(seq.table.length, "block")}`;
    }, "Nobody runs.");
    const finished = [...replay.ended].filter(([, end]) => end.step <= k)
      .sort((a, b) => b[1].step - a[1].step);
    const endings = new Map(finished);
    this.fill(this.finished, "finished", finished.map(([id]) => id), (id) => endings.get(id).reason,
      "Nobody has finished.");
  }

  fill(el, name, ids, describe, empty) {
    const { viewer } = this;
    el.replaceChildren(h("h4", {}, name, h("span", {}, ` ${ids.length}`)));
    if (!ids.length) el.append(h("p.nv-empty", {}, empty));
    const list = h("div.nv-chips", { role: "list" });
    fillList(list, ids, (id) => h("button.nv-chip", { type: "button", role: "listitem",
      data: { seq: id }, "aria-pressed": String(viewer.selection.seq === id), title: describe(id),
      onclick: () => viewer.select({ seq: id }) },
    swatch(id), h("b", {}, `seq ${id}`), h("span", {}, describe(id))));
    el.append(list);
  }
}

class Budget {
  constructor(viewer) {
    this.viewer = viewer;
    const { el, note } = panel("budget", "Token budget",
      (this.bar = h("div.nv-budget-bar", { role: "img" })), (this.list = h("div.nv-rows")));
    Object.assign(this, { el, note });
  }

  update({ chunks, entry }) {
    const { viewer } = this, limit = viewer.replay.engine.max_num_batched_tokens;
    const total = chunks.reduce((sum, chunk) => sum + chunk.num, 0);
    this.note.textContent = entry ? `${total} of ${limit} tokens in this step` : "";
    const scale = Math.max(limit, total);
    this.bar.setAttribute("aria-label", `${total} of ${limit} tokens: ` + chunks.slice(0, 30)
      .map((chunk) => `seq ${chunk.seq} ${chunk.num}`).join(", "));
    this.bar.style.backgroundImage = chunks.length > 48 ? stripes(chunks, scale) : "";
    this.bar.replaceChildren(...(chunks.length > 48 ? [] : chunks).map((chunk) => h(
      `i.nv-${patternOf(chunk.seq)}${chunk.isDecode ? ".nv-light" : ""}`, {
        title: `seq ${chunk.seq}: ${plural(chunk.num, "token")}`, data: { seq: chunk.seq },
        onclick: () => viewer.select({ seq: chunk.seq }),
        style: { "--seq": colourOf(chunk.seq), width: `${(100 * chunk.num) / scale}%` } })));
    if (!chunks.length) {
      this.list.replaceChildren(h("p.nv-empty", {}, entry ? "This step computed nothing."
        : "No step yet: move right to see the first one."));
      return;
    }
    fillList(this.list, chunks, (chunk) => h("button.nv-row", {
      type: "button", data: { seq: chunk.seq }, onclick: () => viewer.select({ seq: chunk.seq }),
      "aria-pressed": String(viewer.selection.seq === chunk.seq) },
    swatch(chunk.seq), h("b", {}, `seq ${chunk.seq}`),
    h("span.nv-kind", {}, chunk.isDecode ? "decode" : "prefill"),
    h("span.nv-num", {}, `[${chunk.start}, ${chunk.end})`),
    h("span.nv-num", {}, plural(chunk.num, "token")),
    h("span.nv-dim", {}, chunk.hit ? `${chunk.hit} cached` : chunk.samples ? "" : "samples later")));
  }
}

// One background instead of hundreds of elements.
function stripes(chunks, scale) {
  let at = 0;
  const stops = chunks.map(({ seq, num, isDecode }) => {
    const from = (100 * at) / scale, to = (100 * (at += num)) / scale;
    return `${colourOf(seq)}${isDecode ? "80" : ""} ${from.toFixed(3)}% ${to.toFixed(3)}%`;
  });
  return `linear-gradient(90deg, ${stops.join(",")}, transparent ${((100 * at) / scale).toFixed(3)}%)`;
}

class Why {
  constructor(viewer) {
    this.viewer = viewer;
    const { el, note } = panel("why", "Why", (this.list = h("ol.nv-events")));
    Object.assign(this, { el, note });
  }

  settle(moment) {
    const { replay } = this.viewer;
    if (!moment.entry) {
      this.note.textContent = "";
      this.list.replaceChildren(h("p.nv-empty", {}, "Each decision of a step is explained here."));
      return;
    }
    const events = replay.events(moment.k, moment);
    this.note.textContent = plural(events.length, "event");
    const tokens = events.filter((event) => event.kind === "TokenSampled");
    const isCrowded = tokens.length > 8;
    const rows = isCrowded ? events.filter((event) => event.kind !== "TokenSampled") : events;
    if (isCrowded) rows.push({ kind: "TokenSampled", why: `${tokens.length} sequences got a token each` });
    fillList(this.list, rows, (event) => this.row(event));
  }

  row(event) {
    const { viewer } = this;
    const label = EVENT_LABELS[event.kind];
    const block = event.block_id ?? null;
    return h("li.nv-event", { data: { kind: event.kind },
      onclick: () => event.seq_id !== undefined && viewer.select({ seq: event.seq_id, block }),
      onmouseenter: () => block !== null && viewer.hover({ block }),
      onmouseleave: () => viewer.hover(null) },
    h(`span.nv-label.nv-label-${label}`, {}, label), h("span", {}, this.words(event)));
  }

  // The token's text belongs to the sentence, but only the viewer knows it.
  words(event) {
    const { replay } = this.viewer;
    if (event.token_id === undefined || !replay.hasText) return event.why;
    return [event.why, " ", h("code", {}, shown(replay.text(event.token_id)))];
  }
}

// The physical blocks: fill = whose, frame = free / cached / used / shared / written now.
class Pool {
  constructor(viewer) {
    this.viewer = viewer;
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
      title: "Number the cached blocks: 1 is evicted first",
      onclick: () => this.toggleOrder() }, "eviction order");
    const { el, note, tools } = panel("pool", "Block pool", this.frame,
      legend([["used", "used"], ["shared", "shared"], ["cachedblock", "free but cached"],
        ["free", "free"], ["written", "written now"]]), this.live, this.table);
    tools.append(this.orderButton);
    Object.assign(this, { el, note });
  }

  measure() {
    this.width = Math.max(160, this.frame.clientWidth);
  }

  toggleOrder() {
    this.showsOrder = !this.showsOrder;
    this.orderButton.setAttribute("aria-pressed", String(this.showsOrder));
    this.update(this.moment);
  }

  layout() {
    const num = this.viewer.replay.numBlocks;
    const width = this.width;
    const sizes = [62, 54, 46, 40, 34, 28, 24, 20, 17, 14, 12, 10, 9, 8, 7, 6, 5, 4];
    const fits = (size) => Math.ceil(num / Math.floor((width - 2 * MARGIN) / size)) * size <= 330;
    const size = sizes.find(fits) ?? 4;
    const columns = Math.min(num, Math.floor((width - 2 * MARGIN) / size));
    return { num, size, columns, width, height: Math.ceil(num / columns) * size + 2 * MARGIN };
  }

  place(block) {
    const { size, columns } = this.g;
    return [MARGIN + (block % columns) * size, MARGIN + Math.floor(block / columns) * size];
  }

  update(moment) {
    this.moment = moment;
    const { viewer } = this, { replay } = viewer;
    const g = (this.g = this.layout());
    const pen = this.sheet.size(g.width, g.height);
    this.ranks = new Map(this.showsOrder ? [...moment.state.order].map((block, i) => [block, i + 1]) : []);
    this.written = writtenBlocks(moment, replay.blockSize);
    if (g.size < 12) this.drawPixels(pen, moment);
    else for (let block = 0; block < g.num; block++) this.drawBlock(pen, block, moment);
    const cached = moment.state.order.size, used = moment.state.numUsed;
    this.note.replaceChildren(h("b", {}, String(used)), " used · ", h("b", {}, String(cached)),
      " cached · ", h("b", {}, String(g.num - used - cached)), ` free · ${replay.blockSize} tokens each`);
    this.frame.setAttribute("aria-label", `Block pool: ${used} used, ${cached} cached and ` +
      `${g.num - used - cached} free of ${g.num} blocks. Arrow keys move between blocks, Enter selects.`);
    this.describeLater();
    this.highlight();
  }

  // Thousands of blocks: flat colours, written straight into the pixels.
  drawPixels(pen, { state, users }) {
    const { theme, replay } = this.viewer, g = this.g;
    const ratio = globalThis.devicePixelRatio || 1, size = Math.floor(g.size * ratio);
    const image = pen.createImageData(Math.round(g.width * ratio), Math.round(g.height * ratio));
    const pixels = new Uint32Array(image.data.buffer), stride = image.width;
    const ink = (colour, alpha) => packed(colour, theme.bg, alpha);
    const full = COLOURS.map((colour) => ink(colour, 1)), pale = COLOURS.map((colour) => ink(colour, 0.3));
    const fg = ink(theme.fg, 1), track = ink(theme.track, 1), muted = ink(theme.muted, 0.5);
    for (let block = 0; block < g.num; block++) {
      const hash = state.hash[block], who = users.get(block), owner = hash === null ? null : replay.ownerOf(hash);
      const colour = who ? full[who[0] % 8] : state.ref[block] ? muted
        : hash === null ? track : owner === null ? muted : pale[owner % 8];
      const [x, y] = this.place(block).map((value) => Math.round(value * ratio));
      const frame = who?.length > 1 ? fg : null, isWritten = this.written.has(block);
      for (let j = 0; j < size - 1; j++) {
        for (let i = 0; i < size - 1; i++) {
          const isEdge = i === 0 || j === 0 || i === size - 2 || j === size - 2;
          const isCorner = isWritten && i - j > size / 3;
          pixels[(y + j) * stride + x + i] = isCorner || (isEdge && frame) ? fg : colour;
        }
      }
    }
    pen.putImageData(image, 0, 0);
  }

  drawBlock(pen, block, { state }) {
    const { replay, theme } = this.viewer, { size } = this.g;
    const [x, y] = this.place(block), gap = size >= 20 ? 3 : size >= 10 ? 1.5 : 1, s = size - gap;
    const kind = state.blockState(block), users = this.moment.users.get(block) ?? [];
    const hash = state.hash[block];
    if (kind === "used") {
      this.fillUsed(pen, x, y, s, users);
    } else if (kind === "cached") {
      const owner = replay.ownerOf(hash);
      pen.fillStyle = owner === null ? theme.track : canvasFill(pen, owner, 0.22);
      pen.fillRect(x, y, s, s);
      if (size >= 10) drawHatch(pen, x, y, s, s, theme.bg, size >= 20 ? 6 : 4);
      if (size >= 14) dashedFrame(pen, x, y, s, owner === null ? theme.muted : colourOf(owner));
    } else if (size >= 8) {
      pen.strokeStyle = theme.border;
      pen.lineWidth = 1;
      pen.strokeRect(x + 0.5, y + 0.5, s - 1, s - 1);
    } else {
      pen.fillStyle = theme.track;
      pen.fillRect(x, y, s, s);
    }
    if (users.length > 1 && size >= 8) {
      pen.strokeStyle = theme.fg;
      pen.lineWidth = size >= 20 ? 2 : 1;
      pen.strokeRect(x + 1.5, y + 1.5, s - 3, s - 3);
    }
    if (this.written.has(block)) {
      const corner = Math.max(3, s * 0.26);
      pen.fillStyle = theme.fg;
      pen.beginPath();
      pen.moveTo(x + s, y);
      pen.lineTo(x + s - corner, y);
      pen.lineTo(x + s, y + corner);
      pen.fill();
    }
    if (size >= 24) this.writeBlock(pen, block, x, y, s, kind, hash, users, state);
    else if (size >= 14 && this.ranks.has(block)) this.writeRank(pen, block, x, y, s);
  }

  fillUsed(pen, x, y, s, users) {
    const num = Math.max(1, Math.min(3, users.length));
    users.slice(0, 3).forEach((id, i) => {
      pen.fillStyle = canvasFill(pen, id);
      pen.fillRect(x + (i * s) / num, y, s / num, s);
    });
    if (!users.length) {
      pen.fillStyle = this.viewer.theme.muted;
      pen.fillRect(x, y, s, s);
    }
  }

  writeBlock(pen, block, x, y, s, kind, hash, users, state) {
    const { theme } = this.viewer;
    const isDark = HAS_DARK_INK[users[0] % COLOURS.length], isBusy = users[0] >= COLOURS.length || users.length > 1;
    const ink = kind === "used" ? (isDark ? "#10161d" : "#fff") : theme.fg;
    pen.textBaseline = "top";
    pen.fillStyle = kind === "free" ? theme.muted : ink;
    if (kind === "used" && isBusy) {
      pen.shadowColor = isDark ? "#fffc" : "#000a";
      pen.shadowBlur = 3;
    }
    pen.font = theme.font(s >= 40 ? 11 : 9.5, 600);
    pen.fillText(String(block), x + 4, y + 4);
    if (s >= 36 && users.length > 1) {
      pen.font = theme.font(10, 600);
      pen.fillText(`×${state.ref[block]}`, x + 4, y + s / 2 - 4);
    }
    if (s >= 42 && hash !== null) {
      pen.font = theme.mono(9.5);
      pen.fillText(hash.slice(0, 5), x + 4, y + s - 13);
    }
    pen.shadowBlur = 0;
    if (this.ranks.has(block)) this.writeRank(pen, block, x, y, s);
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

  highlight() {
    const g = this.g, { viewer } = this, { theme } = viewer;
    const pen = this.cursor.size(g.width, g.height);
    const ring = (block, style, width) => {
      if (block === null || block === undefined || block >= g.num) return;
      const [x, y] = this.place(block), s = g.size - (g.size >= 20 ? 3 : 1);
      pen.strokeStyle = theme.bg;
      pen.lineWidth = width + 2;
      pen.strokeRect(x, y, s, s);
      pen.strokeStyle = style;
      pen.lineWidth = width;
      pen.strokeRect(x - 1, y - 1, s + 2, s + 2);
    };
    const table = this.moment.tableOf(viewer.selection.seq);
    for (const block of table) {
      const [x, y] = this.place(block);
      pen.fillStyle = theme.accent;
      if (g.size >= 14) pen.fillRect(x, y + g.size - (g.size >= 20 ? 3 : 1.5), g.size - 3, 2);
      else ring(block, theme.accent, 1);
    }
    ring(viewer.selection.block, theme.accent, 2.5);
    ring(viewer.hovered?.block, theme.fg, 2);
  }

  describe(block) {
    const { replay } = this.viewer, { state, users } = this.moment;
    const kind = state.blockState(block), hash = state.hash[block], who = users.get(block) ?? [];
    const parts = [`block ${block}`, kind === "cached" ? "free but cached" : kind];
    if (who.length) parts.push(`by seq ${who.join(", ")}${who.length > 1 ? ` (shared, ref count ${state.ref[block]})` : ""}`);
    if (this.written?.has(block)) parts.push("written in this step");
    if (hash !== null) parts.push(`hash ${hash.slice(0, 8)}…`);
    if (kind === "cached") parts.push(`number ${[...state.order].indexOf(block) + 1} to be evicted`);
    const text = hash === null ? "" : replay.contentOf(hash).map((t) => replay.text(t)).join(replay.hasText ? "" : " ");
    return [parts.join(" · "), text];
  }

  // For screen readers and tests; late, so that scrubbing does not pay for it.
  describeLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const { state, users } = this.moment, num = Math.min(this.g.num, 256);
      const rows = Array.from({ length: num }, (_, block) => h("tr", {}, h("td", {}, String(block)),
        h("td", {}, state.blockState(block)), h("td", {}, (users.get(block) ?? []).join(" ")),
        h("td", {}, String(state.ref[block])), h("td", {}, state.hash[block] ?? "")));
      this.table.replaceChildren(h("table", {}, h("caption", {}, "Block pool"), h("thead", {},
        h("tr", {}, ["block", "state", "sequences", "ref count", "hash"].map((name) => h("th", {}, name)))),
      h("tbody", {}, rows)));
    }, 250);
  }

  find(event) {
    const { left, top } = this.frame.getBoundingClientRect(), g = this.g;
    const x = event.clientX - left - MARGIN, y = event.clientY - top - MARGIN;
    const column = Math.floor(x / g.size);
    const block = column < g.columns ? Math.floor(y / g.size) * g.columns + column : g.num;
    return { x, y, block: block >= 0 && block < g.num ? block : null };
  }

  onMove(event) {
    const { x, y, block } = this.find(event);
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
    const { block } = this.find(event);
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
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.g.columns, ArrowDown: this.g.columns };
    const at = this.viewer.selection.block;
    if (event.key in moves) {
      const to = at === null ? 0 : at + moves[event.key];
      if (to >= 0 && to < this.g.num) this.choose(to);
    } else if (event.key === "Enter") this.choose(at ?? 0);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function writtenBlocks({ chunks, tables }, blockSize) {
  const written = new Set();
  for (const { seq, start, end } of chunks) {
    const table = tables.get(seq) ?? [];
    for (let i = Math.floor(start / blockSize); i * blockSize < end; i++) written.add(table[i]);
  }
  return written;
}

function dashedFrame(pen, x, y, s, style) {
  pen.save();
  pen.strokeStyle = style;
  pen.lineWidth = 1.2;
  pen.setLineDash([3, 2]);
  pen.strokeRect(x + 0.75, y + 0.75, s - 1.5, s - 1.5);
  pen.restore();
}

// One sequence: its text, and under it token -> logical block -> physical block -> slot.
class SequencePanel {
  constructor(viewer) {
    this.viewer = viewer;
    const { el, note } = panel("sequence", "Sequence",
      (this.facts = h("p.nv-facts")), h("div.nv-scroll", {}, (this.text = h("div.nv-text"))),
      legend([["t-cached", "cached"], ["t-prefill", "prefill"], ["t-decode", "decode"],
        ["t-pending", "not in the cache yet"]]),
      (this.chain = h("p.nv-reason.nv-chain")), (this.blocks = h("div.nv-cards")));
    this.title = el.querySelector("h3");
    Object.assign(this, { el, note });
    const over = (event) => viewer.hover(this.linkOf(event.target));
    for (const part of [this.text, this.blocks]) {
      part.addEventListener("pointerover", over);
      part.addEventListener("pointerleave", () => viewer.hover(null));
      part.addEventListener("click", (event) => {
        const link = this.linkOf(event.target);
        if (link) viewer.select({ seq: viewer.selection.seq, ...link });
      });
    }
  }

  linkOf(target) {
    const el = target.closest?.("[data-pos],[data-block]");
    if (!el) return null;
    if (el.dataset.pos !== undefined) return this.viewer.linkOfPosition(this.viewer.selection.seq, Number(el.dataset.pos));
    return { block: Number(el.dataset.block) };
  }

  update(moment) {
    const { viewer } = this, id = viewer.selection.seq, { replay } = viewer;
    const request = replay.requests.get(id);
    const parts = [this.facts, this.text, this.chain, this.blocks];
    if (!request || !viewer.isKnown(id, moment)) {
      this.title.textContent = "Sequence";
      this.note.textContent = "";
      for (const part of parts) part.replaceChildren();
      this.facts.append(h("span.nv-empty", {}, replay.requests.size
        ? "Click a sequence, a block or a row of the timeline."
        : "There is no sequence yet: add a prompt and take a step."));
      return;
    }
    this.title.replaceChildren(swatch(id), ` Sequence ${id}`);
    const seq = moment.sequence(id);
    this.showFacts(request, seq, moment);
    this.showText(seq, moment);
  }

  settle(moment) {
    const id = this.viewer.selection.seq;
    if (!this.viewer.replay.requests.has(id) || !this.viewer.isKnown(id, moment)) return;
    const seq = moment.sequence(id);
    this.showChain(seq);
    this.showBlocks(seq, moment);
    this.highlight();
  }

  showFacts(request, seq, { k }) {
    const { replay } = this.viewer, end = replay.ended.get(seq.id);
    const isOver = end && end.step <= k;
    this.note.textContent = isOver ? `finished in step ${replay.journal[replay.steps[Math.min(end.step, replay.numSteps - 1)]].step}: ${end.detail}`
      : seq.slot === null ? "waiting" : `running in slot ${seq.slot}`;
    const params = Object.entries(seq.params ?? request.params).map(([name, value]) => `${name} ${value}`);
    this.facts.replaceChildren(...[["prompt", seq.prompt], ["generated", seq.known - seq.prompt],
      ["in the cache", seq.computed], ["cached by prefix", seq.hit]].map(([name, value]) =>
      h("span", {}, `${name} `, h("b", {}, String(value)))), h("span.nv-dim", {}, params.join(" · ")));
  }

  kindOf(seq, position) {
    if (position >= seq.computed) return "pending";
    return position < seq.hit ? "cached" : position < seq.prefillEnd ? "prefill" : "decode";
  }

  // Spans are kept from step to step; only those that differ are touched.
  showText(seq, { fresh }) {
    const { replay } = this.viewer, tokens = replay.tokens.get(seq.id);
    const first = Math.max(0, Math.floor((seq.known - 160) / 64) * 64), keys = [];
    if (first) keys.push(["", "nv-more", `… ${plural(first, "token")} before … `]);
    for (let i = first; i < seq.known; i++) {
      if (i === seq.prompt && i > first) keys.push(["", "nv-turn", ""]);
      const isNew = fresh.get(seq.id) === i;
      keys.push([i, `nv-token nv-t-${this.kindOf(seq, i)}${isNew ? " nv-fresh" : ""}`, shown(replay.text(tokens[i]))]);
    }
    const { text } = this;
    text.classList.toggle("nv-ids", !replay.hasText);
    text.style.setProperty("--seq", colourOf(seq.id));
    keys.forEach(([position, name, words], i) => {
      const span = text.children[i] ?? text.appendChild(h("span"));
      if (span.kind !== name) span.className = span.kind = name;
      if (span.firstChild?.data !== words) span.textContent = words;
      if (position === "") delete span.dataset.pos;
      else if (span.dataset.pos !== String(position)) span.dataset.pos = position;
    });
    while (text.children.length > keys.length) text.lastChild.remove();
  }

  showChain(seq) {
    const { match } = seq;
    this.chain.hidden = !match;
    if (!match) return;
    const num = match.stoppedAt;
    this.chain.replaceChildren(h("b", {}, num ? `${plural(num, "block")} found by hash` : "no block found by hash"),
      `; the match stopped at block ${num}: ${match.why}`);
  }

  showBlocks(seq, moment) {
    const { viewer } = this, { replay } = viewer, size = replay.blockSize;
    const table = moment.tableOf(seq.id), most = clamp(Math.floor(144 / size), 6, 24);
    const focus = viewer.selection.block === null ? -1 : table.indexOf(viewer.selection.block);
    const first = Math.max(0, Math.min((focus < 0 ? table.length : focus + most / 2) - most, table.length - most));
    const cards = table.slice(first, first + most).map((block, i) => this.cardOf(seq, block, first + i, size, moment));
    if (first) cards.unshift(h("span.nv-more", {}, `${first} blocks before`));
    if (first + most < table.length) cards.push(h("span.nv-more", {}, `${table.length - first - most} blocks after`));
    if (!table.length) cards.push(h("p.nv-empty", {}, "It holds no blocks now."));
    this.blocks.style.setProperty("--seq", colourOf(seq.id));
    if (cards.length !== this.blocks.children.length || cards.some((card, i) => card !== this.blocks.children[i])) {
      this.blocks.replaceChildren(...cards);
    }
  }

  // A card that would look the same is used again.
  cardOf(seq, block, logical, size, moment) {
    const last = Math.min(seq.computed, (logical + 1) * size), users = moment.users.get(block) ?? [];
    const key = [seq.id, block, logical, last, Math.min(seq.known, (logical + 1) * size), seq.hit,
      Math.min(seq.prefillEnd, last), moment.state.hash[block], users.length, seq.match?.stoppedAt > logical,
      moment.isGone].join();
    const cards = (this.cards ??= new Map());
    if (cards.size > 400) cards.clear();
    if (!cards.has(key)) cards.set(key, this.card(seq, block, logical, size, moment));
    return cards.get(key);
  }

  card(seq, block, logical, size, { state, users, isGone }) {
    const { replay } = this.viewer, tokens = replay.tokens.get(seq.id);
    const hash = state.hash[block], ref = (users.get(block) ?? []).length;
    const isHit = seq.match && logical < seq.match.stoppedAt;
    const cells = Array.from({ length: Math.min(size, 64) }, (_, offset) => {
      const position = logical * size + offset, isKnown = position < seq.computed;
      return h(`span.nv-slot${isKnown ? `.nv-t-${this.kindOf(seq, position)}` : ""}`, {
        data: position < seq.known ? { pos: position } : {},
        title: `position ${position} · slot ${block * size + offset} = ${block} × ${size} + ${offset}` },
      isKnown ? shown(replay.text(tokens[position])).trim() || "␣" : "");
    });
    return h(`div.nv-card${isHit ? ".nv-hit" : ""}`, { data: { block }, role: "group",
      "aria-label": `logical block ${logical} is physical block ${block}` },
    h("div.nv-card-head", {}, h("span", {}, `${logical}`), h("i.nv-arrow", {}, "→"),
      h("b", {}, `block ${block}`), ref > 1 ? h("span.nv-badge", { title: "reference count" }, `×${ref}`) : "",
      h("code", { title: hash ?? "" }, hash === null ? isGone ? "let go" : "" : hash.slice(0, 6))),
    h("div.nv-slots", {}, cells),
    h("div.nv-card-foot", {}, `slots ${block * size}–${block * size + size - 1}`));
  }

  highlight() {
    const { hovered, selection } = this.viewer;
    const isCalm = !hovered && selection.block === null && !this.wasMarked;
    if (isCalm) return;
    this.wasMarked = hovered || selection.block !== null;
    mark(this.el, "nv-hover", hovered);
    mark(this.el, "nv-selected", selection);
    this.markTokensOf(hovered?.block ?? selection.block);
  }

  // A block is chosen: its tokens stand out in the text.
  markTokensOf(block) {
    const { viewer } = this, size = viewer.replay.blockSize;
    const logical = block === null ? -1 : viewer.now.tableOf(viewer.selection.seq).indexOf(block);
    for (const span of this.text.children) {
      const position = span.dataset.pos;
      span.classList.toggle("nv-linked", logical >= 0 && position !== undefined &&
        Math.floor(position / size) === logical);
    }
  }
}

function mark(root, name, link) {
  for (const el of root.querySelectorAll(`.${name}`)) el.classList.remove(name);
  if (!link) return;
  const pos = link.position, { block } = link;
  if (pos !== null && pos !== undefined) for (const el of root.querySelectorAll(`[data-pos="${pos}"]`)) el.classList.add(name);
  if (block !== null && block !== undefined) {
    for (const el of root.querySelectorAll(`[data-block="${block}"]`)) el.classList.add(name);
  }
}

// The batch of the step, one column per token; only the visible columns are in the page.
class Tensors {
  constructor(viewer) {
    this.viewer = viewer;
    this.width = 58;
    const names = ["token_ids", "positions", "slot_mapping"];
    this.names = h("div.nv-tensor-names", {}, h("span", {}, ""), names.map((name) => h("code", {}, name)));
    this.inner = h("div.nv-tensor-inner");
    this.scroll = h("div.nv-tensor-scroll", { tabIndex: 0, role: "region",
      "aria-label": "token_ids, positions and slot_mapping, one column per token",
      onscroll: () => {
        this.left = this.scroll.scrollLeft;
        this.drawColumns();
      } }, this.inner);
    this.left = 0;
    this.perSeq = h("div.nv-tensor-seqs");
    const { el, note } = panel("tensors", "Tensors of the step",
      h("div.nv-tensor", {}, this.names, this.scroll), this.perSeq);
    Object.assign(this, { el, note });
    this.inner.addEventListener("pointerover", (event) => {
      const el = event.target.closest("[data-seq]");
      viewer.hover(el ? viewer.linkOfPosition(Number(el.dataset.seq), Number(el.dataset.at)) : null);
    });
    this.inner.addEventListener("pointerleave", () => viewer.hover(null));
    this.inner.addEventListener("click", (event) => {
      const el = event.target.closest("[data-seq]");
      if (el) viewer.select(viewer.linkOfPosition(Number(el.dataset.seq), Number(el.dataset.at)));
    });
  }

  measure() {
    this.visible = this.scroll.clientWidth;
  }

  update(moment) {
    this.moment = moment;
    this.starts = [0];
    for (const chunk of moment.chunks) this.starts.push(this.starts.at(-1) + chunk.num);
    const total = this.starts.at(-1);
    this.note.textContent = moment.entry ? `${plural(total, "token")} of ${plural(moment.chunks.length, "sequence")}` : "";
  }

  settle(moment) {
    const total = this.starts.at(-1);
    this.inner.style.width = `${total * this.width}px`;
    this.el.classList.toggle("nv-none", !total);
    this.drawColumns();
    this.drawPerSequence(moment);
  }

  drawColumns() {
    const total = this.starts?.at(-1) ?? 0;
    const left = Math.min(this.left, Math.max(0, total * this.width - this.visible));
    const first = Math.max(0, Math.floor(left / this.width) - 2);
    const end = Math.min(total, Math.ceil((left + this.visible) / this.width) + 2);
    const columns = [];
    let row = 0;
    while (row + 2 < this.starts.length && this.starts[row + 1] <= first) row += 1;
    for (let i = first; i < end; i++) {
      while (this.starts[row + 1] <= i) row += 1;
      columns.push(this.column(i, this.moment.chunks[row], i - this.starts[row]));
    }
    this.inner.replaceChildren(...columns);
    this.highlight();
  }

  column(i, chunk, offset) {
    const { replay } = this.viewer, position = chunk.start + offset, size = replay.blockSize;
    const block = (this.moment.tables.get(chunk.seq) ?? [])[Math.floor(position / size)];
    const token = replay.tokens.get(chunk.seq)[position];
    return h(`div.nv-column${offset ? "" : ".nv-first"}`, {
      style: { left: `${i * this.width}px`, width: `${this.width}px`, "--seq": colourOf(chunk.seq) },
      title: `${replay.hasText ? `“${shown(replay.text(token))}” · ` : ""}position ${position} · block ${block}`,
      data: { seq: chunk.seq, at: position } },
    h("span.nv-band", {}, offset ? "" : h("b", {}, `seq ${chunk.seq}`),
      h(`i.nv-${patternOf(chunk.seq)}${chunk.isDecode ? ".nv-light" : ""}`)),
    h("span.nv-cells3", {}, `${token}\n${position}\n${block * size + (position % size)}`));
  }

  drawPerSequence({ chunks }) {
    const shownChunks = chunks.slice(0, 40);
    const cells = (values) => values.map(([value, seq]) => h("span.nv-cell", {
      style: seq === null ? {} : { "--seq": colourOf(seq) } }, String(value)));
    const more = chunks.length > 40 ? h("span.nv-more", {}, `and ${chunks.length - 40} more`) : "";
    this.perSeq.replaceChildren(
      h("code", {}, "query_starts"), h("div.nv-cells", {},
        cells(this.starts.slice(0, 41).map((value, i) => [value, shownChunks[i]?.seq ?? null])), more),
      h("code", {}, "context_lens"), h("div.nv-cells", {},
        cells(shownChunks.map((chunk) => [chunk.end, chunk.seq])), more));
  }

  highlight() {
    for (const [name, link] of [["nv-hover", this.viewer.hovered], ["nv-selected", this.viewer.selection]]) {
      for (const el of this.inner.querySelectorAll(`.${name}`)) el.classList.remove(name);
      if (link?.position === null || link?.position === undefined) continue;
      this.inner.querySelector(`[data-seq="${link.seq}"][data-at="${link.position}"]`)?.classList.add(name);
    }
  }
}

class Phases {
  constructor(viewer) {
    this.viewer = viewer;
    const { el, note } = panel("phases", "Phases", (this.bar = h("div.nv-phase-bar")));
    Object.assign(this, { el, note });
  }

  update({ entry }) {
    const { phases } = this.viewer.replay;
    const times = (entry?.times ?? []).map((time, i) => [phases[i], time]).filter(([, time]) => time !== null);
    const total = times.reduce((sum, [, time]) => sum + time, 0);
    this.note.textContent = entry ? `${formatSeconds(total)} in all` : "";
    this.bar.replaceChildren(...times.map(([name, time]) => h("div.nv-phase", {
      style: { "flex-grow": String(Math.round((1000 * time) / Math.max(total, 1e-9))),
        "--seq": COLOURS[PHASE_COLOURS[name] ?? 5] }, title: `${name}: ${formatSeconds(time)}` },
    h("i"), h("span", {}, name), h("b", {}, formatSeconds(time)))));
    if (!times.length) this.bar.append(h("p.nv-empty", {}, "plan → prepare → forward → sample → commit"));
  }
}

// ---------------------------------------------------------------------------------- 6 viewer

export class Viewer {
  // options: controls, themeToggle, step, seq, onStep(k), onSelect(seq)
  constructor(host, replay, options = {}) {
    this.host = host;
    this.replay = replay;
    this.options = options;
    this.step = clamp(options.step ?? 0, -1, replay.numSteps - 1);
    this.selection = { seq: options.seq ?? null, position: null, block: null };
    this.hovered = null;
    this.root = h("div.nv", { tabIndex: 0, role: "region", "aria-label": "Steps of the engine",
      onkeydown: (event) => this.onKey(event) });
    this.root.viewer = this;
    this.build();
    host.replaceChildren(this.root);
    this.watchTheme();
    this.watchSize();
    this.onAppend = () => this.redraw();
    replay.listeners.add(this.onAppend);
    this.redraw();
  }

  build() {
    this.transport = new Transport(this);
    this.timeline = new Timeline(this);
    this.pool = new Pool(this);
    this.sequence = new SequencePanel(this);
    this.tensors = new Tensors(this);
    const queues = new Queues(this), budget = new Budget(this), why = new Why(this);
    const phases = new Phases(this);
    this.panels = [this.transport, this.timeline, queues, budget, why, this.pool, this.sequence,
      this.tensors, phases];
    const engine = this.replay.engine;
    const about = h("p.nv-about", {}, [
      engine.runner, `${engine.num_blocks} blocks of ${engine.block_size} tokens`, engine.policy,
      `${engine.eviction_policy} eviction`,
      engine.enable_prefix_caching ? "prefix caching" : "no prefix caching",
      `at most ${engine.max_num_seqs} sequences and ${engine.max_num_batched_tokens} tokens a step`,
    ].map((part) => h("span", {}, part)));
    this.root.append(about);
    if (this.options.controls !== false) this.root.append(this.transport.el);
    this.root.append(this.timeline.el,
      h("div.nv-grid.nv-top", {}, queues.el, budget.el, why.el),
      h("div.nv-grid.nv-middle", {}, this.pool.el, this.sequence.el),
      this.tensors.el, phases.el);
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
    const bit = MARK[name], { marks } = this.replay;
    for (let k = this.step + 1; k < marks.length; k++) if (marks[k] & bit) return this.goto(k);
    this.announce(`no further ${name} in this recording`);
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
    this.selection = { seq, position, block };
    this.update();
    this.options.onSelect?.(seq);
  }

  hover(link) {
    if (link === this.hovered || (link?.block === this.hovered?.block && link?.position === this.hovered?.position
      && link?.seq === this.hovered?.seq)) return;
    this.hovered = link;
    for (const panel of [this.pool, this.sequence, this.tensors]) panel.highlight();
  }

  linkOfPosition(seq, position) {
    const table = this.now.tables.get(seq) ?? this.now.tableOf(seq);
    const block = table[Math.floor(position / this.replay.blockSize)];
    return { seq, position, block: block ?? null };
  }

  isKnown(id, { state, k }) {
    const end = this.replay.ended.get(id);
    return state.seqs.has(id) || (end !== undefined && end.step <= k);
  }

  // ---- drawing

  redraw() {
    if (!this.host.isConnected && this.now) return;
    this.readTheme();
    patternCache.clear();
    for (const panel of [this.timeline, this.pool, this.tensors]) panel.measure();
    this.timeline.draw();
    this.update();
  }

  // A panel's `update` draws what must follow every frame of scrubbing, its `settle` the rest. In
  // a large recording the rest waits until the hand rests.
  update() {
    this.now = this.momentOf(this.step);
    const isLarge = this.now.chunks.length > 48 || this.replay.numBlocks > 1024;
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
    const fresh = new Map(moment.chunks.filter((c) => c.samples).map((c) => [c.seq, c.end]));
    const tableOf = (id) => state.seqs.get(id)?.table ?? moment.tables.get(id) ?? [];
    const sequence = (id) => state.seqs.get(id) ?? this.finishedSequence(id, moment);
    if (!state.seqs.has(this.selection.seq) && !this.isKnown(this.selection.seq, moment)) {
      this.selection = { seq: state.running[0] ?? state.waiting[0] ?? null, position: null, block: null };
    }
    return { ...moment, users, fresh, tableOf, sequence, isGone: !state.seqs.has(this.selection.seq) };
  }

  // A finished sequence has left the state; what is known of it is in the history.
  finishedSequence(id, { k, tables }) {
    const known = this.replay.tokens.get(id).length, { num_prompt_tokens: prompt } = this.replay.requests.get(id);
    const before = this.replay.moment(Math.min(this.replay.ended.get(id).step, k) - 1).state.seqs.get(id);
    const hit = before?.hit ?? 0;
    return { id, known, prompt, computed: tables.has(id) ? known - 1 : 0, inFlight: 0, slot: null,
      hit, prefillEnd: Math.max(prompt, before?.prefillEnd ?? 0), match: before?.match ?? null, table: [] };
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

  announce(text) {
    this.pool.live.textContent = text;
    this.transport.label.replaceChildren(h("b", {}, text));
  }

  // ---- theme and size

  get isDark() {
    const lab = document.body.dataset.jpThemeLight;
    if (this.forcedTheme) return this.forcedTheme === "dark";
    return lab ? lab === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  toggleTheme() {
    this.forcedTheme = this.isDark ? "light" : "dark";
    this.redraw();
  }

  readTheme() {
    this.root.dataset.theme = this.isDark ? "dark" : "light";
    const styles = getComputedStyle(this.root);
    const get = (name) => styles.getPropertyValue(`--nv-${name}`).trim();
    this.theme = {
      bg: get("bg"), fg: get("fg"), muted: get("muted"), faint: get("faint"), border: get("border"),
      track: get("track"), accent: get("accent"), danger: get("danger"), good: get("good"),
      warn: get("warn"), usedArea: get("used-area"), cachedArea: get("cached-area"),
      selectedBand: get("selected-band"), playhead: get("playhead"),
      font: (size, weight = 400) => `${weight} ${size}px ${get("font")}`,
      mono: (size) => `${size}px ${get("mono")}`,
    };
    document.documentElement.classList.toggle("nv-dark-page", this.options.themeToggle && this.isDark);
  }

  watchTheme() {
    this.media = matchMedia("(prefers-color-scheme: dark)");
    // Later: while a theme's style sheets are exchanged, nothing has its size.
    this.onTheme = () => [50, 500].forEach((delay) => setTimeout(() => this.redraw(), delay));
    this.media.addEventListener("change", this.onTheme);
    this.bodyWatch = new MutationObserver(this.onTheme);
    this.bodyWatch.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
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
    this.media.removeEventListener("change", this.onTheme);
    this.bodyWatch.disconnect();
    this.sizeWatch.disconnect();
  }
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

function showError(el, error) {
  el.replaceChildren(h("div.nv.nv-error", { role: "alert" }, h("h3", {}, "This recording cannot be shown"),
    h("p", {}, error.message)));
}

// ---------------------------------------------------------------------------- 7 entry points

// The exported page: everything is in the document.
export function mount(el, doc, options = {}) {
  try {
    return new Viewer(el, new Replay(doc), { themeToggle: true, ...options });
  } catch (error) {
    showError(el, error);
    return null;
  }
}

// The notebook widget (anywidget). The model holds the recording as it was when the model was made;
// what has come since, the view asks for, and from then on it is told.
function render({ model, el }) {
  let viewer;
  try {
    viewer = new Viewer(el, new Replay(model.get("recording")), {
      controls: model.get("controls"), step: model.get("step"), seq: model.get("sequence"),
      onStep: (k) => { model.set("step", k); model.save_changes(); },
      onSelect: (seq) => { model.set("sequence", seq); model.save_changes(); },
    });
  } catch (error) {
    showError(el, error);
    return undefined;
  }
  const { replay } = viewer;
  const ask = () => model.send({ type: "need", first: replay.journal.length });
  const onMessage = (message) => {
    if (message?.type !== "append") return;
    const known = replay.journal.length - message.first; // an answer to another view may come too
    if (known < 0) ask();
    else replay.append(message.entries.slice(known), message.pieces);
    onStep();
  };
  const onStep = () => viewer.goto(model.get("step"));
  const onSequence = () => {
    if (model.get("sequence") !== viewer.selection.seq) viewer.select({ seq: model.get("sequence") });
  };
  model.on("msg:custom", onMessage);
  model.on("change:step", onStep);
  model.on("change:sequence", onSequence);
  ask();
  return () => {
    model.off("msg:custom", onMessage);
    model.off("change:step", onStep);
    model.off("change:sequence", onSequence);
    viewer.destroy();
  };
}

export default { render };
