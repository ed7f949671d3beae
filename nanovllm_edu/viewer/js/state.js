// An engine's state at one moment, and what each event does to it: the twin of introspect/fold.py.
// A browser test compares the two. It knows nothing of steps, and nothing of pixels.

export class State {
  constructor(numBlocks) {
    this.planned = 0; // steps planned so far
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
      state.seqs.set(id, { ...blankSequence(id, known, prompt), computed, inFlight, slot,
        decoding: !!decoding, table: [...table], prefillEnd: computed });
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
    const twin = Object.assign(Object.create(State.prototype), this);
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

  add(request) {
    const { seq_id: id, token_ids: tokens, num_prompt_tokens: prompt } = request;
    this.seqs.set(id, blankSequence(id, tokens.length, prompt));
    this.waiting.push(id);
  }

  // `history` keeps what outlives the state: contents of blocks, and how sequences ended.
  apply(row, kinds, history) {
    const name = kinds.name(row), at = kinds.at[name];
    const id = row[1], seq = this.seqs.get(id), block = row[at.block_id];
    switch (name) {
      case "BlockAllocated":
        this.ref[block] = 1;
        this.numUsed += 1;
        seq.table.push(block);
        break;
      case "BlockCached":
        this.hash[block] = row[at.hash];
        history.contents.set(row[at.hash], { seq: id, index: row[at.logical_index] });
        break;
      case "BlockFreed":
        this.free(block, seq);
        break;
      case "BlockEvicted":
      case "BlockForgotten":
        this.hash[block] = null;
        this.order.delete(block);
        break;
      case "Admitted":
        seq.slot = row[at.slot];
        remove(this.waiting, id);
        this.running.push(id);
        break;
      case "PrefixHit":
        this.share(row[at.block_ids], seq);
        seq.computed = seq.hit = seq.prefillEnd = row[at.num_tokens];
        seq.match = { stoppedAt: row[at.stopped_at], why: row[at.stopped_because] };
        break;
      case "Preempted":
        seq.computed = seq.hit = seq.prefillEnd = 0;
        seq.slot = null;
        seq.decoding = false;
        remove(this.running, id);
        this.waiting.unshift(id);
        break;
      case "Finished":
        remove(this.waiting, id);
        remove(this.running, id);
        this.seqs.delete(id);
        history.lastSeen.set(id, seq);
        break;
      default:
        throw new Error(`the recording has an event that this viewer does not know: ${name}`);
    }
  }

  free(block, seq) {
    this.ref[block] -= 1;
    if (!this.ref[block]) {
      this.numUsed -= 1;
      if (this.hash[block] !== null) this.order.add(block);
    }
    if (seq) remove(seq.table, block);
  }

  share(blocks, seq) {
    for (const block of blocks) {
      if (!this.ref[block]) {
        this.order.delete(block);
        this.numUsed += 1;
      }
      this.ref[block] += 1;
    }
    seq.table = [...blocks];
  }

  // Under a policy other than LRU the order does not follow from the events; the entry tells it.
  reorder(entry, before) {
    if ("order" in entry) this.order = new Set(entry.order);
    if (!("order_change" in entry)) return;
    const [removed, inserted] = entry.order_change, gone = new Set(removed);
    const order = before.filter((block) => !gone.has(block));
    for (const [block, index] of inserted) order.splice(index, 0, block);
    this.order = new Set(order);
  }
}

// `hit` and `prefillEnd` tell how each token came: [0, hit) cached, [hit, prefillEnd) prefill.
function blankSequence(id, known, prompt) {
  return { id, known, prompt, computed: 0, inFlight: 0, slot: null, decoding: false, table: [],
    hit: 0, prefillEnd: 0, match: null, params: null };
}

function remove(list, value) {
  const index = list.indexOf(value);
  if (index >= 0) list.splice(index, 1);
}
