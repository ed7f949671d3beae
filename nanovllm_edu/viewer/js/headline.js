// One sentence about a step, before its details. It needs nothing but who computed what and who ended.

import { plural } from "./dom.js";

export function headline({ k, entry, chunks, state }, { ended }) {
  if (!entry) return "";
  const decodes = chunks.filter((chunk) => chunk.isDecode), prefills = chunks.filter((chunk) => !chunk.isDecode);
  const names = (ids) => (ids.length > 3 ? plural(ids.length, "sequence") : `seq ${ids.join(", ")}`);
  const verb = (ids, word) => `${names(ids)} ${word}${ids.length === 1 ? "s" : ""}`;
  const seqs = (list) => list.map((chunk) => chunk.seq);
  const parts = [];
  if (prefills.length) {
    const tokens = prefills.reduce((sum, chunk) => sum + chunk.num, 0);
    parts.push(`prefill of ${plural(tokens, "token")} for ${names(seqs(prefills))}`);
  }
  if (decodes.length) parts.push(`decode for ${names(seqs(decodes))}`);
  const endings = [...ended].filter(([, { step }]) => step === k).map(([id]) => id);
  if (endings.length) parts.push(verb(endings, "end"));
  if (state.waiting.length) parts.push(verb([...state.waiting], "wait"));
  const text = parts.join("; ") || "nothing was computed";
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}
