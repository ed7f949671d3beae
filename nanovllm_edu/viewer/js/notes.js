// What is kept of every step while a recording is read once, for the timeline, the breakpoints and
// the memory lane. It knows nothing of how a state is folded.

// What a sequence did in a step. Higher wins where several steps share one pixel.
export const KIND = { none: 0, waiting: 1, idle: 2, decode: 3, prefill: 4, cached: 5, preempted: 6 };
export const KIND_NAMES = ["", "waiting", "running, not in this step", "decode", "prefill",
  "prefill after a prefix hit", "preempted"];
export const MARK = { hit: 1, eviction: 2, preemption: 4, finish: 8 };

export class Notes {
  constructor(kinds) {
    this.kinds = kinds;
    this.rows = new Map(); // seq id -> { first, kinds: what it did in step first + i }
    this.marks = []; // step -> bits of MARK
    this.levels = []; // step -> [used, cached] blocks
    this.ended = new Map(); // seq id -> { step, reason, detail }
    this.planned = []; // per planned and uncommitted step: [seq id, what it does, ...]
  }

  noteStep(state, entry, step) {
    const { code, at } = this.kinds, preempted = [];
    let marks = 0;
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
    const planned = this.planned.shift();
    for (let i = 0; i < planned.length; i += 2) this.noteKind(planned[i], step, planned[i + 1]);
    for (const id of preempted) this.noteKind(id, step, KIND.preempted);
  }

  noteKind(id, step, kind) {
    let row = this.rows.get(id);
    if (!row) this.rows.set(id, (row = { first: step, kinds: [] }));
    while (row.kinds.length < step - row.first) row.kinds.push(KIND.none);
    row.kinds[step - row.first] = kind;
  }

  noteEndings(events, step) {
    const { at, code } = this.kinds, { reason, detail } = at.Finished;
    const endings = events.filter((event) => event[0] === code.Finished);
    for (const event of endings) {
      this.ended.set(event[1], { step, reason: event[reason], detail: event[detail] });
    }
    return endings.length;
  }

  kindAt(id, step) {
    const row = this.rows.get(id);
    return row?.kinds[step - row.first] ?? KIND.none;
  }
}
