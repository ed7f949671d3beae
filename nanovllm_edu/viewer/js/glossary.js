// Words of the trade, explained where they stand: a dotted line below, the meaning on hover.
// docs/glossary.md has more of them.

import { h } from "./dom.js";

const MEANINGS = {
  prefill: "Computing the tokens of a prompt, many at once",
  decode: "Computing the one newest token of a sequence to get the next one",
  cached: "Keys and values are in memory already, so nothing is computed again",
  "token budget": "The most tokens that one step may compute (max_num_batched_tokens)",
  budget: "The most tokens that one step may compute (max_num_batched_tokens)",
  row: "A sequence's line in the device's tables while it runs; at most max_num_seqs of them",
  guessed: "Proposed cheaply, and checked by the model in the same step",
  hash: "A short number made of a block's tokens and of all before them, by which it is found again",
  match: "How far the cache knows the beginning of a prompt, block by block",
  block: "Memory for the keys and values of a fixed number of tokens",
  blocks: "Memory for the keys and values of a fixed number of tokens",
  preempted: "Sent back to wait, and its blocks given to others; its tokens are kept",
  evicted: "Its content is forgotten, because somebody else needs the space",
  LRU: "Least recently used: what nobody needed for the longest time goes first",
  FIFO: "First in, first out: what became free first goes first",
};
const WORDS = new RegExp(`\\b(${Object.keys(MEANINGS).sort((a, b) => b.length - a.length).join("|")})\\b`);

// A sentence as nodes; each word is explained once.
export function explained(sentence) {
  const seen = new Set();
  return sentence.split(WORDS).map((part, i) => {
    if (i % 2 === 0 || seen.has(part)) return part;
    seen.add(part);
    return h("abbr.nv-term", { title: MEANINGS[part] }, part);
  });
}
