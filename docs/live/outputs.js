/* What a cell shows becomes elements. Text of users stays text; HTML comes from the package, which
   escapes, and the page's policy lets no script in it run.

   Read next: nanovllm_edu/live/outputs.py, which says what there is. */

import { mount } from "./viewer.js";

let numBets = 0;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const MAKERS = {
  text: ({ text }) => element("pre", { textContent: text }),
  error: ({ text }) => {
    const made = element("pre", { className: "error", textContent: text });
    made.setAttribute("role", "alert");
    return made;
  },
  html: ({ html }) => element("div", { className: "html", innerHTML: html, tabIndex: 0 }),
  code: ({ place, code }) =>
    element("figure", {}, element("figcaption", { textContent: place }), element("pre", { className: "code", textContent: code, tabIndex: 0 })),
  prediction,
  view: ({ document: recording, level }) => {
    const made = element("div", { className: "view" });
    mount(made, recording, { ownsPage: false, address: {}, level });
    return made;
  },
};

function prediction({ question, options, picked, bet }, pick) {
  const name = `bet${numBets++}`;
  const choices = options.map((option) => {
    const input = element("input", { type: "radio", name, checked: option === picked });
    input.addEventListener("change", () => pick(bet, option));
    return element("label", {}, input, ` ${option}`);
  });
  const title = element("legend", {}, element("b", { textContent: "Predict. " }), question);
  return element("fieldset", {}, title, ...choices);
}

/** The element of one output; `pick(bet, option)` tells Python what was clicked. */
export function shown(output, pick) {
  return MAKERS[output.kind](output, pick);
}
