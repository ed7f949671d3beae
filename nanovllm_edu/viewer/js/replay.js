// A recording that can be asked for any moment: differences are applied from the nearest state kept.
// It knows nothing of the page. Read next: state.js, notes.js for what is kept of each step.

import { checkDocument } from "./format.js";
import { spellOut } from "./going_on.js";
import { Notes } from "./notes.js";
import { overlapping, spansOf } from "./spans.js";
import { State } from "./state.js";
import { stateDict } from "./state_dict.js";

const FRAME_INTERVAL = 32; // steps between the states that are kept for scrubbing

export class Replay {
  constructor(doc) {
    checkDocument(doc);
    this.engine = doc.engine;
    this.blockSize = doc.engine.block_size;
    this.numBlocks = doc.engine.num_blocks;
    this.phases = doc.phases;
    this.rankPhases = doc.rank_phases ?? [];
    this.eventKinds = doc.event_kinds;
    this.work = doc.work;
    this.pieces = {};
    this.notes = new Notes(doc);
    this.requests = new Map();
    this.tokens = new Map(); // seq id -> every token that ever becomes known
    this.lastSeen = new Map(); // seq id -> how it was when it finished
    for (const request of doc.initial.requests) this.addRequest(request);
    this.journal = [];
    this.steps = []; // step -> place in the journal
    this.plannedBy = []; // step -> the step before whose commit it was planned
    this.head = new State(this.numBlocks);
    this.head.change(doc.initial.state ?? {}, this);
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
    for (const entry of entries) this.take(entry);
    for (const listener of this.listeners) listener();
  }

  // The head goes through each entry once, and notes are taken; other states come and go.
  take(written) {
    const step = this.numSteps, entry = spellOut(written, this.journal[this.steps[step - 1]], this.work);
    this.journal.push(entry);
    if ("add" in entry) this.addRequest(entry.add);
    for (const [id, , ...tokens] of entry.tokens ?? []) this.tokens.get(id).push(...tokens);
    this.apply(this.head, entry);
    while (this.plannedBy.length < (entry.planned ?? 0)) this.plannedBy.push(step);
    if ("abort" in entry) this.notes.noteEndings(entry.abort, step);
    if (!("step" in entry)) return;
    this.steps.push(this.journal.length - 1);
    this.notes.noteStep(this.head, entry, step);
    if (this.numSteps % FRAME_INTERVAL === 0) {
      this.frames.push({ place: this.journal.length, state: this.head.clone(), step });
    }
  }

  apply(state, entry) {
    if (entry.state) state.change(entry.state, this);
    if ("update" in entry) state.seqs.get(entry.update).params = entry.params;
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
    const base = this.frames[Math.min(this.frames.length - 1, Math.floor((k + 1) / FRAME_INTERVAL))];
    const state = base.state.clone();
    for (let i = base.place; i < end; i++) this.apply(state, this.journal[i]);
    const entry = k >= 0 ? this.entry(k) : null;
    return { k, state, entry, spans: entry ? this.spansIn(entry) : [], tables: this.tablesIn(entry, state) };
  }

  // What moved in a step, sequence by sequence.
  spansIn({ spans, tokens = [], drafts = {} }) {
    const given = new Map(tokens.map(([id, position, ...values]) => [id, { position, values }]));
    const list = [];
    for (let i = 0; i < spans.length; i += 5) {
      const [seq, start, num, work, isSampled] = spans.slice(i, i + 5), kind = this.work[work];
      const [drafted = [], accepted = null] = drafts[seq] ?? [];
      list.push({ seq, start, num, end: start + num, kind, isDecode: kind === "decode" || kind === "verify",
        isSampled: Boolean(isSampled), hit: kind === "cached" ? start : 0, drafted, accepted,
        gave: given.get(seq) ?? null });
    }
    return list;
  }

  // The block tables that the step used.
  tablesIn(entry, state) {
    const tables = new Map(state.running.map((id) => [id, state.seqs.get(id).table]));
    for (const [id, table] of Object.entries(entry?.tables ?? {})) tables.set(Number(id), table);
    return tables;
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

  // ---- answers for the panels

  text(token) {
    return this.pieces[token] ?? String(token);
  }

  get hasText() {
    return Object.keys(this.pieces).length > 0;
  }

  // The tokens of a block that can be found.
  contentOf(state, block) {
    const [, seq, place] = state.content[block] ?? [null, null, []];
    if (seq === null) return place;
    return this.tokens.get(seq).slice(place * this.blockSize, (place + 1) * this.blockSize);
  }

  // Every event of a step in the order it happened, with its sentence.
  events(k) {
    return (this.entry(k).events ?? []).map(([number, seq_id, why, block_id]) => {
      const [kind, label] = this.eventKinds[number];
      return { kind, label, seq_id, why, block_id };
    });
  }

  // When the phases of step k took place, in microseconds.
  spans(k) {
    return spansOf(this, k);
  }

  overlapping(k) {
    return overlapping(this, k);
  }

  stateDict(k) {
    return stateDict(this, this.moment(k).state);
  }
}
