// One sentence about a step, before its details. It needs nothing but who computed what and who ended.

import { plural } from "./dom.js";

export function headline({ k, entry, spans, state }, { ended }) {
  if (!entry) return "";
  const of = (...kinds) => spans.filter((span) => kinds.includes(span.kind));
  const prefills = of("prefill", "cached"), decodes = of("decode"), guesses = of("verify");
  const names = (ids) => (ids.length > 3 ? plural(ids.length, "sequence") : `seq ${ids.join(", ")}`);
  const verb = (ids, word) => `${names(ids)} ${word}${ids.length === 1 ? "s" : ""}`;
  const seqs = (list) => list.map((span) => span.seq);
  const parts = [];
  if (prefills.length) {
    const tokens = prefills.reduce((sum, span) => sum + span.num, 0);
    parts.push(`prefill of ${plural(tokens, "token")} for ${names(seqs(prefills))}`);
  }
  if (decodes.length) parts.push(`decode for ${names(seqs(decodes))}`);
  if (guesses.length) {
    const tokens = guesses.reduce((sum, span) => sum + span.drafted.length, 0);
    parts.push(`check of ${tokens === 1 ? "1 guess" : `${tokens} guesses`} for ${names(seqs(guesses))}`);
  }
  const endings = [...ended].filter(([, { step }]) => step === k).map(([id]) => id);
  if (endings.length) parts.push(verb(endings, "end"));
  if (state.waiting.length) parts.push(verb([...state.waiting], "wait"));
  const text = parts.join("; ") || "nothing was computed";
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}
