// The bar with the buttons, the slider and the breakpoints.

import { h, icon, setText } from "./dom.js";

const BREAKPOINTS = [["hit", "prefix hit"], ["preemption", "preemption"], ["eviction", "eviction"],
  ["finish", "sequence finishes"], ["guess", "wrong guess"]];

export class Transport {
  constructor(viewer) {
    this.viewer = viewer;
    const button = (name, label, action, keys) => h("button.nv-button", {
      type: "button", title: keys ? `${label} (${keys})` : label, "aria-label": label,
      onclick: action, data: { action: name } }, icon(name));
    this.play = button("play", "Play", () => viewer.togglePlay(), "space");
    this.slider = h("input", { type: "range", min: -1, step: 1, "aria-label": "Step",
      oninput: () => viewer.gotoSoon(Number(this.slider.value)) });
    this.label = h("output.nv-step", {}, (this.name = h("b")), (this.place = h("span")));
    this.jump = h("select.nv-select", { "aria-label": "Run to the next",
      onchange: () => { viewer.runTo(this.jump.value); this.jump.value = ""; } },
    h("option", { value: "" }, "run to…"),
    BREAKPOINTS.map(([name, label]) => h("option", { value: name }, `next ${label}`)));
    this.el = h("div.nv-bar", { role: "toolbar", "aria-label": "Steps" },
      h("span.nv-buttons", {},
        button("first", "First step", () => viewer.goto(-1), "Home"),
        button("back", "Step back", () => viewer.goto(viewer.step - 1), "←"),
        this.play,
        button("next", "Step forward", () => viewer.goto(viewer.step + 1), "→"),
        button("last", "Last step", () => viewer.goto(Infinity), "End")),
      this.label, this.slider, this.jump);
    if (viewer.options.ownsPage) {
      this.el.append(button("theme", "Light or dark", () => viewer.toggleTheme()));
    }
  }

  update({ k, entry }) {
    const { replay } = this.viewer;
    this.slider.max = replay.numSteps - 1;
    this.slider.value = k;
    const text = entry ? `step ${entry.step}` : "before the first step";
    this.slider.setAttribute("aria-valuetext", text);
    setText(this.name, text);
    setText(this.place, entry ? ` ${k + 1} / ${replay.numSteps}` : "");
  }

  say(text) {
    setText(this.name, text);
    setText(this.place, "");
  }

  setPlaying(isPlaying) {
    this.play.replaceChildren(icon(isPlaying ? "pause" : "play"));
    this.play.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }
}

export const labelOfBreakpoint = (name) => BREAKPOINTS.find(([key]) => key === name)[1];
