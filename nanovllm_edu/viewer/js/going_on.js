// Most of a step is the step before, one token further, and is told by who does not go on
// (introspect/going_on.py). Here such a step gets back what every other one has.

export function spellOut(entry, before, work) {
  if (!entry.on) return entry;
  const left = new Set(entry.on), decode = work.indexOf("decode");
  const ids = [], spans = [], tokens = [];
  for (let i = 0; i < before.spans.length; i += 5) {
    const [id, start, num] = before.spans.slice(i, i + 3), at = start + num;
    if (left.has(id)) continue;
    spans.push(id, at, 1, decode, 1);
    tokens.push([id, at + 1, entry.given[ids.length]]);
    ids.push(id);
  }
  const state = entry.state?.on ? { ...entry.state, on: ids } : entry.state;
  return { ...entry, spans: [...spans, ...entry.spans], tokens: [...tokens, ...(entry.tokens ?? [])], state };
}
