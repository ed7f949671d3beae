/* A lesson's Python, in a worker: what a cell computes never freezes the page. A question is {id, name,
   args}; its answer is {id, value}, or {id, error} with a sentence. {ready: true} says that Python has
   started. What does not come to an end is ended by the page, together with this worker.

   Read next: nanovllm_edu/live/cells.py, which runs the cells. */

import { startPython } from "./python.js";

const started = startPython().then((pyodide) => {
  const python = pyodide.pyimport("nanovllm_edu.live.cells");
  const cells = python.begin();
  return (name, args) => JSON.parse(python.answer(cells, name, JSON.stringify(args)));
});

started.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ failed: error.message }),
);

addEventListener("message", async ({ data: { id, name, args } }) => {
  try {
    const ask = await started;
    postMessage({ id, value: ask(name, args) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
});
