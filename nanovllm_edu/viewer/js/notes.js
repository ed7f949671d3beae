// What is kept of every step while a recording is read once, for the timeline, the breakpoints and
// the memory lane. It knows nothing of how a state is folded.

// What a sequence did in a step. Higher wins where several steps share one pixel.
export const KIND = { none: 0, waiting: 1, idle: 2, decode: 3, verify: 4, prefill: 5, cached: 6, preempted: 7 };
export const KIND_NAMES = ["", "waiting", "running, not in this step", "decode",
  "verify (decode with guesses)", "prefill",
  "prefill after a prefix hit", "preempted"];
export const MARK_NAMES = { "prefix hit": "hit", eviction: "eviction", preemption: "preemption",
  "sequence finishes": "finish", "wrong guess": "guess" };

export class Notes {
  constructor({ marks, work }) {
    this.bits = Object.fromEntries(marks.map((name, i) => [MARK_NAMES[name], 1 << i]));
    this.kindOfWork = work.map((name) => KIND[name]);
    this.rows = new Map(); // seq id -> { first, kinds: what it did in step first + i }
    this.marks = []; // step -> some of `bits`
    this.levels = []; // step -> [used, cached] blocks
    this.ended = new Map(); // seq id -> { step, reason, detail }
  }

  noteStep(state, entry, step) {
    this.noteEndings(entry.finished ?? {}, step);
    this.marks.push(entry.marks ?? 0);
    this.levels.push([state.numUsed, state.order.size]);
    for (const id of state.waiting) this.noteKind(id, step, KIND.waiting);
    for (const id of state.running) this.noteKind(id, step, KIND.idle);
    for (let i = 0; i < entry.spans.length; i += 5) {
      this.noteKind(entry.spans[i], step, this.kindOfWork[entry.spans[i + 3]]);
    }
    for (const id of entry.preempted ?? []) this.noteKind(id, step, KIND.preempted);
  }

  noteKind(id, step, kind) {
    let row = this.rows.get(id);
    if (!row) this.rows.set(id, (row = { first: step, kinds: [] }));
    while (row.kinds.length < step - row.first) row.kinds.push(KIND.none);
    row.kinds[step - row.first] = kind;
  }

  noteEndings(endings, step) {
    for (const [id, [reason, detail]] of Object.entries(endings)) {
      this.ended.set(Number(id), { step, reason, detail });
    }
  }

  kindAt(id, step) {
    const row = this.rows.get(id);
    return row?.kinds[step - row.first] ?? KIND.none;
  }
}
