/* A lesson that is run in its page: editors, buttons, and what the cells show.

   Cells are run one after the other, by one worker. One that takes longer than a minute is ended, and
   Python starts anew; then all cells count as not run, and the next one that is wanted runs those
   above it first.

   Read next: outputs.js, how outputs become elements; cells_worker.js, which asks Python. */

import { shown } from "./outputs.js";

const MOST_SECONDS = 60;
const lesson = document.body.dataset.lesson;
const status = document.getElementById("status");
const stop = document.getElementById("stop");
const cells = [...document.querySelectorAll(".cell")].map(newCell);

let worker, asked, nextId = 0, turn = Promise.resolve();

function newCell(root) {
  const editor = root.querySelector("textarea");
  const reset = root.querySelector(".reset");
  const cell = { root, editor, reset, index: Number(root.dataset.cell), isAside: "aside" in root.dataset };
  cell.written = editor.value;
  cell.key = `nanovllm-edu lesson ${lesson} cell ${cell.index}: ${cell.written.length}`;
  editor.value = remembered(cell.key) ?? cell.written;
  editor.addEventListener("input", () => edited(cell));
  editor.addEventListener("keydown", (event) => onKey(cell, event));
  root.querySelector(".run").addEventListener("click", () => runTo(cell));
  reset.addEventListener("click", () => {
    editor.value = cell.written;
    edited(cell);
    editor.focus();
  });
  edited(cell);
  return cell;
}

// -------------------------------------------------------------------------------- Python

function start() {
  worker = new Worker(new URL("cells_worker.js", import.meta.url), { type: "module" });
  asked = new Map();
  for (const cell of cells) cell.hasRun = false;
  say("Python starts …");
  worker.addEventListener("message", ({ data }) => {
    if (data.ready) return say("Python is ready.");
    if (data.failed) return say(`Python did not start: ${data.failed}`);
    asked.get(data.id)?.(data);
    asked.delete(data.id);
  });
  worker.addEventListener("error", (event) => say(`Python did not start: ${event.message}`));
}

function ask(name, args) {
  const id = nextId++;
  worker.postMessage({ id, name, args });
  return new Promise((done) => asked.set(id, done));
}

/** Ends whatever runs; who waits for it hears why. */
function restart(why) {
  worker.terminate();
  const waiting = [...asked.values()];
  start();
  for (const done of waiting) done({ error: why });
}

// --------------------------------------------------------------------------------- cells

/** Runs a cell when those before it in the queue are done, after the ones above that it may lean on. */
function runTo(cell) {
  const above = () => cells.filter((other) => other.index < cell.index && !other.hasRun && !other.isAside);
  turn = turn.then(async () => {
    for (const each of [...above(), cell]) if (!(await run(each))) break;
    stop.disabled = true;
  });
}

async function run(cell) {
  cell.root.classList.add("busy");
  stop.disabled = false;
  const clock = setTimeout(
    () => restart(`This took longer than ${MOST_SECONDS} seconds and was ended. Does a loop never end?`),
    MOST_SECONDS * 1000,
  );
  const answer = await ask("run", { number: cell.index, source: cell.editor.value });
  clearTimeout(clock);
  cell.root.classList.remove("busy");
  const outputs = answer.value ?? [{ kind: "error", text: answer.error }];
  const pick = (bet, option) => ask("pick", { bet, option });
  cell.root.querySelector(".outputs").replaceChildren(...outputs.map((each) => shown(each, pick)));
  const isDone = !outputs.some(({ kind }) => kind === "error");
  cell.hasRun = isDone;
  if (!answer.error) say(isDone ? `Cell ${cell.index} is done.` : `Cell ${cell.index} ended with an error.`);
  return isDone;
}

function edited(cell) {
  const { editor, written, reset } = cell;
  reset.hidden = editor.value === written;
  editor.rows = editor.value.split("\n").length;
  cell.hasRun = false;
  remember(cell.key, reset.hidden ? null : editor.value);
}

function onKey(cell, event) {
  if (event.key !== "Enter" || event.isComposing) return;
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    runTo(cell);
  } else if (!event.shiftKey) {
    const { value, selectionStart } = cell.editor;
    const line = value.slice(value.lastIndexOf("\n", selectionStart - 1) + 1, selectionStart);
    const indent = /^ */.exec(line)[0] + (line.trimEnd().endsWith(":") ? "    " : "");
    event.preventDefault();
    document.execCommand("insertText", false, `\n${indent}`); // so that it can be undone
  }
}

// -------------------------------------------------------------------- status and memory

function say(text) {
  status.textContent = text;
}

function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // a browser may forbid it
  }
}

function remember(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    // then it is not kept
  }
}

stop.addEventListener("click", () => restart("This was stopped; Python has started anew."));
if (!window.WebAssembly || !window.Worker) say("This browser lacks WebAssembly or workers, so the cells cannot be run.");
else start();
