// A state as the plain values of EngineState.to_dict() in Python: what the browser tests compare.

export function stateDict(replay, state) {
  const ids = [...state.running, ...state.waiting];
  return {
    waiting: state.waiting,
    running: state.running,
    block_tables: Object.fromEntries(state.running.map((id) => [id, state.seqs.get(id).table])),
    blocks: Array.from(state.ref, (ref_count, block_id) => blockDict(replay, state, block_id, ref_count)),
    sequences: Object.fromEntries(ids.map((id) => [id, sequenceDict(replay, state, id)])),
    eviction_order: [...state.order],
  };
}

function blockDict(replay, state, block_id, ref_count) {
  return { block_id, ref_count, hash: state.hashOf(block_id), token_ids: replay.contentOf(state, block_id), state: state.blockState(block_id) };
}

function sequenceDict(replay, state, id) {
  const seq = state.seqs.get(id);
  return {
    status: state.running.includes(id) ? "running" : "waiting",
    token_ids: replay.tokens.get(id).slice(0, seq.known),
    num_prompt_tokens: seq.prompt,
    num_computed_tokens: seq.computed,
    num_claimed: seq.claimed,
    row: seq.row,
  };
}
