// Where the view begins: `mount` for the exported page, `render` for the notebook widget.

import { h } from "./dom.js";
import { Replay } from "./replay.js";
import { Viewer } from "./viewer.js";

function showError(el, error) {
  el.replaceChildren(h("div.nv.nv-error", { role: "alert" }, h("h3", {}, "This recording cannot be shown"),
    h("p", {}, error.message)));
}

// ?step=13&seq=5&level=why
export function readAddress(search) {
  const asked = new URLSearchParams(search);
  const number = (name) => (/^-?\d+$/.test(asked.get(name) ?? "") ? Number(asked.get(name)) : null);
  return { step: number("step"), seq: number("seq"), level: asked.get("level") };
}

// The exported page: everything is in the document.
export function mount(el, doc, options = {}) {
  try {
    return new Viewer(el, new Replay(doc), { ownsPage: true, level: el.dataset.level, address: readAddress(location.search), ...options });
  } catch (error) {
    showError(el, error);
    return null;
  }
}

// The notebook widget (anywidget). The model holds the recording as it was when the model was made;
// what has come since, the view asks for, and from then on it is told.
function render({ model, el }) {
  let viewer;
  try {
    viewer = new Viewer(el, new Replay(model.get("recording")), {
      controls: model.get("controls"), fork: () => model.get("fork"), level: model.get("level"), step: model.get("step"), seq: model.get("sequence"),
      onStep: (k) => { model.set("step", k); model.save_changes(); },
      onLevel: (level) => { model.set("level", level); model.save_changes(); },
      onSelect: (seq) => { model.set("sequence", seq); model.save_changes(); },
    });
  } catch (error) {
    showError(el, error);
    return undefined;
  }
  const { replay } = viewer;
  const ask = () => model.send({ type: "need", first: replay.journal.length });
  const onMessage = (message) => {
    if (message?.type !== "append") return;
    const known = replay.journal.length - message.first; // an answer to another view may come too
    if (known < 0) ask();
    else replay.append(message.entries.slice(known), message.pieces);
    onStep();
  };
  const onStep = () => viewer.goto(model.get("step"));
  const onLevel = () => viewer.showLevel(model.get("level"));
  const onFork = () => viewer.redraw();
  const onSequence = () => {
    if (model.get("sequence") !== viewer.selection.seq) viewer.select({ seq: model.get("sequence") });
  };
  model.on("msg:custom", onMessage);
  model.on("change:step", onStep);
  model.on("change:sequence", onSequence);
  model.on("change:fork", onFork);
  model.on("change:level", onLevel);
  ask();
  return () => {
    model.off("msg:custom", onMessage);
    model.off("change:step", onStep);
    model.off("change:sequence", onSequence);
    model.off("change:fork", onFork);
    model.off("change:level", onLevel);
    viewer.destroy();
  };
}

export default { render };
