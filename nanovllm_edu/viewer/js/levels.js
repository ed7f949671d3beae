// How much of the view is shown: the text, the timeline and the pool; with the reasons; everything.
// The browser keeps the choice for the next view.

import { h } from "./dom.js";

const LEVELS = [["basic", "Text, timeline and blocks"], ["why", "The queues, and the reason of each decision"],
  ["everything", "Tensors, hashes and phases too"]];
const KEY = "nanovllm-edu level";

// What the address asks for, what was chosen before, what the caller wants: in this order.
export function firstLevel(asked, wanted) {
  return [asked, keptLevel(), wanted].find(isLevel) ?? "everything";
}

export const isLevel = (name) => LEVELS.some(([level]) => level === name);

function keptLevel() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // a frame without rights has no storage: then each view begins anew
  }
}

// Calls back when another page chooses (two recordings side by side); returns what stops it.
export function watchLevel(show) {
  const onChange = (event) => event.key === KEY && isLevel(event.newValue) && show(event.newValue);
  addEventListener("storage", onChange);
  return () => removeEventListener("storage", onChange);
}

function keepLevel(level) {
  try {
    localStorage.setItem(KEY, level);
  } catch { /* as above */ }
}

export class LevelSwitch {
  constructor(onChoose) {
    this.buttons = LEVELS.map(([level, title]) => h("button.nv-toggle", { type: "button", title,
      data: { level }, onclick: () => {
        keepLevel(level);
        onChoose(level);
      } }, level));
    this.el = h("span.nv-levels", { role: "group", "aria-label": "How much is shown" }, "show ", this.buttons);
  }

  show(level) {
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.level === level));
    }
  }
}
