// The forms for an engine's options: one to begin anew, one to fork. Both are made from the menu that
// the engine gives, so an option is added there and nowhere else.

import { h } from "../live/viewer.js";

const NAMES = {
  block_size: "tokens in a block", num_blocks: "blocks", max_num_batched_tokens: "tokens in a step, at most",
  max_num_seqs: "sequences at once, at most", policy: "policy", eviction: "eviction", prefix_cache: "prefix cache",
  speculation: "speculation",
};
const WORDS = { ngram: "guesses from the text so far", hash: "by hash", radix: "a radix tree", lru: "LRU", fifo: "FIFO" };
const KINDS = { checksum: "a checksum, at once", model: "the model in the box" };

export class Options {
  // only: the names of those that are shown
  constructor({ numbers, choices }, only = null) {
    this.inputs = {};
    const isShown = (name) => !only || only.includes(name);
    for (const [name, [, min, max]] of Object.entries(numbers).filter(([name]) => isShown(name))) {
      this.inputs[name] = h("input", { type: "number", min, max, required: true });
    }
    for (const [name, values] of Object.entries(choices).filter(([name]) => isShown(name))) {
      this.inputs[name] = select(values, WORDS);
    }
    this.el = Object.entries(this.inputs).map(([name, input]) => h("label", {}, NAMES[name], " ", input));
  }

  show(options) {
    for (const [name, input] of Object.entries(this.inputs)) input.value = options[name];
  }

  get values() {
    return Object.fromEntries(Object.entries(this.inputs).map(([name, input]) => [name, input.value]));
  }
}

export function select(values, words = {}) {
  return h("select", {}, values.map((value) => h("option", { value }, words[value] ?? value)));
}

// What runs the steps; the model can be chosen when its weights are here.
export class Kind {
  constructor() {
    this.input = select(Object.keys(KINDS), KINDS);
    this.setModel(false);
    this.el = h("label", {}, "what runs the steps ", this.input);
  }

  setModel(isHere) {
    const [, model] = this.input.options;
    model.disabled = !isHere;
    model.textContent = isHere ? KINDS.model : `${KINDS.model} (loading)`;
  }

  get value() {
    return this.input.value;
  }

  set value(kind) {
    this.input.value = kind;
  }
}

export function button(text, onclick, type = "button") {
  return h("button", { type, onclick }, text);
}

export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
