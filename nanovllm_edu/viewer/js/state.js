// An engine's state at one moment, and how a difference changes it. What an event means was decided
// where the difference was made (introspect/view.py); here numbers are put where they belong.

export class State {
  constructor(numBlocks) {
    this.waiting = [];
    this.running = [];
    this.seqs = new Map();
    this.ref = new Int32Array(numBlocks);
    this.content = new Array(numBlocks).fill(null); // [hash, seq id, index] or [hash, null, tokens]
    this.order = new Set(); // cached blocks without a user, next to be evicted first
    this.numUsed = 0;
  }

  clone() {
    const twin = Object.assign(Object.create(State.prototype), this);
    twin.waiting = [...this.waiting];
    twin.running = [...this.running];
    twin.ref = this.ref.slice();
    twin.content = this.content.slice();
    twin.order = new Set(this.order);
    twin.seqs = new Map();
    for (const [id, seq] of this.seqs) twin.seqs.set(id, { ...seq, table: seq.table.slice() });
    return twin;
  }

  blockState(block) {
    if (this.ref[block]) return "used";
    return this.content[block] === null ? "free" : "cached";
  }

  // A short name for what a block holds; null if it cannot be found.
  hashOf(block) {
    return this.content[block]?.[0] ?? null;
  }

  // Whose tokens a block holds.
  ownerOf(block) {
    return this.content[block]?.[1] ?? null;
  }

  // `history` knows the requests, and keeps how a sequence was when it ended.
  change(difference, history) {
    const { gone = [], on = [], seqs = [], origins = {}, rows = {}, tables = {}, matches = {}, blocks = [] } = difference;
    for (const [id, known, computed, claimed] of gone) {
      history.lastSeen.set(id, { ...this.seqs.get(id), known, computed, claimed });
      this.seqs.delete(id);
    }
    for (const seq of on.map((id) => this.seqs.get(id))) {
      if (seq) { // the others have just gone
        seq.known += 1;
        seq.computed += 1;
      }
    }
    for (let i = 0; i < seqs.length; i += 4) {
      const [id, known, computed, claimed] = seqs.slice(i, i + 4);
      Object.assign(this.sequence(id, history), { known, computed, claimed });
    }
    for (const [id, [hit, prefillEnd]] of entriesOf(origins)) {
      Object.assign(this.sequence(id, history), { hit, prefillEnd });
    }
    for (const [id, row] of entriesOf(rows)) this.sequence(id, history).row = row;
    for (const [id, [first, rest]] of entriesOf(tables)) {
      this.sequence(id, history).table.splice(first, Infinity, ...rest);
    }
    for (const [id, [stoppedAt, why]] of entriesOf(matches)) this.sequence(id, history).match = { stoppedAt, why };
    for (const [block, ref, content] of blocks) this.setBlock(block, ref, content);
    for (const name of ["waiting", "running"]) {
      if (difference[name]) this[name] = changedList(this[name], difference[name]);
    }
    if (difference.order) this.order = new Set(changedList([...this.order], difference.order));
  }

  setBlock(block, ref, content) {
    this.numUsed += Number(ref > 0) - Number(this.ref[block] > 0);
    this.ref[block] = ref;
    this.content[block] = content;
  }

  // `hit` and `prefillEnd` tell how each token came: [0, hit) cached, [hit, prefillEnd) prefill.
  sequence(id, { requests }) {
    if (!this.seqs.has(id)) {
      const prompt = requests.get(id).num_prompt_tokens;
      this.seqs.set(id, { id, prompt, known: 0, computed: 0, claimed: 0, row: null, table: [],
        hit: 0, prefillEnd: 0, match: null, params: null });
    }
    return this.seqs.get(id);
  }
}

const entriesOf = (values) => Object.entries(values).map(([id, value]) => [Number(id), value]);

function changedList(before, [removed, inserted]) {
  const gone = new Set(removed), list = before.filter((item) => !gone.has(item));
  for (const [item, index] of inserted) list.splice(index, 0, item); // ascending, so each is final
  return list;
}
