// A recording that can be asked for any moment: it folds the journal from the nearest key frame.
// It knows nothing of the page. Read next: state.js for the events, notes.js for what is kept.

import { checkDocument, EventKinds } from "./format.js";
import { KIND, Notes } from "./notes.js";
import { withWhy } from "./sentences.js";
import { overlapping, spansOf } from "./spans.js";
import { State } from "./state.js";
import { stateDict } from "./state_dict.js";

const FRAME_INTERVAL = 32; // steps between the key frames that are kept for scrubbing

export class Replay {
  constructor(doc) {
    checkDocument(doc);
    this.engine = doc.engine;
    this.blockSize = doc.engine.block_size;
    this.numBlocks = doc.engine.num_blocks;
    this.phases = doc.phases;
    this.pieces = {};
    this.kinds = new EventKinds(doc.event_kinds);
    this.notes = new Notes(this.kinds);
    this.requests = new Map();
    this.tokens = new Map(); // seq id -> every token that ever becomes known
    this.contents = new Map(); // hash -> { tokens } or { seq, index }
    this.lastSeen = new Map(); // seq id -> how it was when it finished
    for (const request of doc.initial.requests) this.addRequest(request);
    for (const [hash, tokens] of Object.entries(doc.initial.contents)) {
      this.contents.set(hash, { tokens });
    }
    this.journal = [];
    this.steps = []; // step -> place in the journal
    this.failures = []; // the last step before each, and the last one whose plan it left
    this.plannedBy = []; // step -> the step before whose commit it was planned
    this.head = State.fromFrame(doc.initial, this.numBlocks);
    this.frames = [{ place: 0, state: this.head.clone(), step: -1 }];
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
      if ("resume" in entry) {
        this.failures.push({ end: this.steps.length - 1, kept: entry.resume.planned - 1 });
      }
      this.journal.push(entry);
    }
    for (let i = this.journal.length - entries.length; i < this.journal.length; i++) {
      this.apply(this.head, i);
    }
    for (const listener of this.listeners) listener();
  }

  addRequest(request) {
    this.requests.set(request.seq_id, request);
    if (!this.tokens.has(request.seq_id)) this.tokens.set(request.seq_id, [...request.token_ids]);
  }

  // ---- any moment

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
    for (let i = base.place; i < end; i++) this.apply(state, i);
    const { detail } = this.capture;
    this.capture = null;
    return { k, state, ...detail, entry: k >= 0 ? this.entry(k) : null };
  }

  entry(k) {
    return this.journal[this.steps[k]];
  }

  // The place of the step with this id; -1 is the moment before the first.
  placeOf(step) {
    if (step === -1) return -1;
    const place = this.steps.findIndex((at) => this.journal[at].step === step);
    return place < 0 ? null : place;
  }

  // The head goes through each entry once, and notes are taken; other states come and go.
  apply(state, place) {
    const entry = this.journal[place], isHead = state === this.head;
    if ("add" in entry) {
      if (isHead) this.addRequest(entry.add);
      state.add(entry.add);
    } else if ("update" in entry) {
      state.seqs.get(entry.update).params = entry.params;
    } else if ("abort" in entry) {
      for (const event of entry.abort) state.apply(event, this.kinds, this);
      state.reorder(entry, [...state.order]);
      if (isHead) this.notes.noteEndings(entry.abort, this.stepOf(place));
    } else if ("resume" in entry) {
      this.resume(state, entry.resume, this.stepOf(place), isHead);
    } else {
      this.applyStep(state, entry, place, isHead);
    }
  }

  // Plans that were made before this commit take effect first.
  applyStep(state, entry, place, isHead) {
    const step = this.stepOf(place);
    const before = "order_change" in entry ? [...state.order] : [];
    this.planTo(state, Math.min(step + (entry.in_flight ?? 0), this.lastPlanned(step)), step, isHead);
    this.commit(state, entry);
    state.reorder(entry, before);
    if (!isHead) return;
    this.notes.noteStep(state, entry, step);
    if ((step + 1) % FRAME_INTERVAL === 0) {
      this.frames.push({ place: place + 1, state: state.clone(), step });
    }
  }

  planTo(state, last, step, isHead) {
    while (state.planned <= last) {
      if (isHead) this.plannedBy[state.planned] = step;
      this.plan(state, state.planned, isHead);
    }
  }

  // A failed step was rolled back. Plans that it left were made before it.
  resume(state, frame, step, isHead) {
    this.planTo(state, Math.min(frame.planned - 1, this.lastPlanned(step - 1)), step, isHead);
    const numInFlight = frame.planned - step, sampling = state.sampling.slice(0, numInFlight);
    const before = state.seqs;
    Object.assign(state, State.fromFrame(frame, this.numBlocks), { sampling });
    for (const seq of state.seqs.values()) keepHistory(seq, before.get(seq.id));
    if (isHead) this.notes.planned.length = Math.min(this.notes.planned.length, numInFlight);
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
    return this.failures.reduce((last, { end, kept }) => (end >= step ? Math.min(last, kept) : last),
      this.numSteps - 1);
  }

  plan(state, step, isHead) {
    const entry = this.entry(step), numbers = entry.chunks;
    const detail = this.capture?.step === step ? this.capture.detail : null;
    for (const event of entry.plan ?? []) state.apply(event, this.kinds, this);
    const sampling = [], kinds = [];
    for (let i = 0; i < numbers.length; i += 2) {
      const seq = state.seqs.get(numbers[i]), num = numbers[i + 1];
      const start = seq.computed, isDecode = seq.decoding;
      const isHit = !isDecode && start > 0 && start === seq.hit;
      seq.computed += num;
      if (!isDecode) seq.prefillEnd = seq.computed;
      if (isHead) kinds.push(seq.id, isDecode ? KIND.decode : isHit ? KIND.cached : KIND.prefill);
      const samples = seq.computed === seq.known + seq.inFlight;
      if (samples) {
        seq.inFlight += 1;
        seq.decoding = true;
        sampling.push(seq.id);
      }
      detail?.chunks.push({ seq: seq.id, slot: seq.slot, start, num, end: start + num, isDecode,
        samples, hit: isHit ? seq.hit : 0 });
    }
    if (detail) for (const id of state.running) detail.tables.set(id, [...state.seqs.get(id).table]);
    state.sampling.push(sampling);
    state.planned += 1;
    if (isHead) this.notes.planned.push(kinds);
  }

  commit(state, entry) {
    const sampling = state.sampling.shift() ?? [];
    entry.tokens.forEach((token, i) => {
      if (token === null) return;
      const seq = state.seqs.get(sampling[i]), tokens = this.tokens.get(seq.id);
      if (tokens.length === seq.known) tokens.push(token);
      seq.known += 1;
      seq.inFlight -= 1;
    });
    for (const event of entry.commit ?? []) state.apply(event, this.kinds, this);
  }

  // ---- answers for the panels

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
    const entry = this.entry(k), read = (row) => this.readEvent(row);
    const events = (entry.plan ?? []).map(read), rest = (entry.commit ?? []).map(read);
    const sampling = moment.chunks.filter((chunk) => chunk.samples);
    entry.tokens.forEach((token_id, i) => {
      if (token_id === null) return;
      const { seq: seq_id, end: position } = sampling[i];
      events.push(withWhy({ kind: "TokenSampled", seq_id, token_id, position }));
      while (rest.length && rest[0].seq_id === seq_id) events.push(rest.shift());
    });
    return events;
  }

  // When the phases of step k took place, in microseconds.
  spans(k) {
    return spansOf(this, k);
  }

  overlapping(k) {
    return overlapping(this, k);
  }

  readEvent(row) {
    return withWhy(this.kinds.read(row));
  }

  stateDict(k) {
    return stateDict(this, this.moment(k).state);
  }
}

// A key frame says where a sequence stands, not how it came there.
function keepHistory(seq, before) {
  if (!before) return;
  seq.params = before.params;
  if (!seq.computed) return; // it starts anew
  const { hit, prefillEnd, match } = before;
  Object.assign(seq, { hit, prefillEnd, match });
}
